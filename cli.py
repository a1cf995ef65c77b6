"""`python cli.py train --depth 5 --latent 8`: the same command as `keras-dae`."""

import sys

INSTALL = """activate the environment it is installed in (. .venv/bin/activate) or run:
python3 -m venv .venv && .venv/bin/python -m pip install -c constraints.txt -e ."""


def start():
    """Run the command line, or say what this Python lacks."""
    if sys.version_info < (3, 11):  # noqa: UP036 (said to whoever has an older one)
        found = ".".join(map(str, sys.version_info[:2]))
        sys.exit(f"Error: keras_dae needs Python 3.11 or newer; this is {found}.")
    try:
        from keras_dae.cli import main

        main(prog_name="cli.py")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("keras_dae"):
            raise
        sys.exit(
            f"Error: the package {error.name} is not installed for {sys.executable}; "
            f"{INSTALL}"
        )


if __name__ == "__main__":
    start()
