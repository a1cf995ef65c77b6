"""Denoisers on other kinds and strengths of noise."""
