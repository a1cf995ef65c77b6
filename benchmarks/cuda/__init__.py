"""All that a GPU is to be measured for, in one command: `python -m benchmarks.cuda`."""
