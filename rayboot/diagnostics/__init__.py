"""Checks of a run's requirements and of GPUs, and a support bundle without secrets."""
