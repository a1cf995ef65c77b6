"""Measurements that anyone can run; `python -m benchmarks.bench` runs all of them."""
