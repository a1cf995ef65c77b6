"""Models in other programs: exported, read again, compared across runtimes."""
