"""Training: configuration, single runs and sweeps."""
