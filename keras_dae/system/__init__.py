"""The process environment: backend, files, locks, signals and restricted processes."""
