"""`python -m keras_dae` is the same command as `keras-dae`."""

from keras_dae.cli import main

main(prog_name="python -m keras_dae")
