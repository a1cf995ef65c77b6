"""What learns: geometry, builders, and model files."""
