"""Model architectures, builders and model files."""
