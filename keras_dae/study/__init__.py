"""The study of the paper, and further experiments."""
