"""The HTTP service; for now only a former name that registered versions still import."""
