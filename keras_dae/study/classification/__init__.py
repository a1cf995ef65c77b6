"""Measure denoisers by how well classifiers read their outputs."""
