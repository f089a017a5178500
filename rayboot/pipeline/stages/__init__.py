"""Stages of the pipelines over photos: one class each, table in, table out, without Ray."""
