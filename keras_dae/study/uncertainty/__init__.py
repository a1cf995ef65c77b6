"""Intervals of several models, and their coverage."""
