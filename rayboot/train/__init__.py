"""Training: pre-training in one process, fine-tuning with Ray Train."""
