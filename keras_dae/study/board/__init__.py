"""Compare all denoisers on the same test images."""
