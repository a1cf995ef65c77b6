"""Faults provoked at random moments, and what is left afterwards: `make faults`."""
