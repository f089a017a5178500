"""The Ray cluster: sessions, resources, progress, and what its failures mean."""
