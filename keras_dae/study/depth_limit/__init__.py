"""Depth of models by number of training images."""
