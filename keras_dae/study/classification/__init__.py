"""Denoisers by what classifiers read after them."""
