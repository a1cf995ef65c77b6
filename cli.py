"""`python cli.py train --depth 5 --latent 8`: the same command as `keras-dae`."""

from keras_dae.cli import main

if __name__ == "__main__":
    main(prog_name="cli.py")
