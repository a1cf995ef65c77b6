"""Export models to other formats, and compare runtimes."""
