"""Executors of sweeps, one module each."""
