"""Where the runs of a sweep are trained: a module an executor."""
