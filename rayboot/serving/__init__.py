"""The HTTP service on Ray Serve: a page and an API that reconstruct photos."""
