"""Model versions and runs in MLflow; only here is it imported."""
