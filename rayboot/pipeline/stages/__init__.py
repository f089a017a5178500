"""The stages of a photo, one class each: rows in, rows out, no Ray."""
