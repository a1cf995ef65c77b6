"""Image files and arrays of every format, in and out."""
