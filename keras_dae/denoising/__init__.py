"""Denoise image files: read, split into tiles, predict, write."""
