"""Readers of photo data sets, one for each layout."""
