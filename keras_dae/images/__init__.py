"""Data sets, noise, and generators of noisy and clean pairs."""
