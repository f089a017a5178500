"""Check and measurement of this machine's GPU, part by part, without Ray and MLflow."""
