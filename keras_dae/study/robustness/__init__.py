"""Denoisers on other noises and strengths."""
