"""A complete cluster on one machine, for development: ``python -m infra.stack``."""
