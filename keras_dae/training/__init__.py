"""How it learns: configuration, one run, many runs."""
