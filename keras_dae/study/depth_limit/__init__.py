"""Depth by number of training images."""
