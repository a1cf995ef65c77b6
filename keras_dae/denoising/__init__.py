"""Models at work on image files: read, tiles, denoise, write."""
