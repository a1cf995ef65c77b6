"""The machine: files, locks, signals, terminal, backend, random streams."""
