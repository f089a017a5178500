"""Model versions and runs in MLflow; besides inference, only this package imports MLflow."""
