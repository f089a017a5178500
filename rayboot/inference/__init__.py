"""Predictions of a registered model in one process, without Ray: photos to volumes or meshes."""
