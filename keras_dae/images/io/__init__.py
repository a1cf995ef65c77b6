"""Read and write image files and arrays in all supported formats."""
