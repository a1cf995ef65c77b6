"""Intervals around the answers of several models, and what they cover."""
