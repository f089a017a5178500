"""Photographs to bootstrap pairs: Ray Data stages, composed into generate."""
