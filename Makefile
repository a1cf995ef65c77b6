# make reproduce: the nine-model study in minutes, on digits that need no network
# make test:      the tests; both make the virtual environment if it is not current
# make paper:     the full study on the full MNIST (about an hour and a half on 2 cores)
# make bench:     what is fast and what is not, as ratios measured in one run

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
RUN := $(VENV)/.current
DEV := $(VENV)/.current-dev

.PHONY: reproduce test paper bench lint format clean

reproduce: $(RUN)
	$(BIN)/python cli.py reproduce --config configs/quick.toml --seeds 1 --out artifacts/quick

paper: $(RUN)
	$(BIN)/python cli.py reproduce --config configs/paper.toml --seeds 5 --out artifacts/paper

bench: $(RUN)
	$(BIN)/python -m benchmarks.bench

test: $(DEV)
	$(BIN)/python -m pytest

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(DEV)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(RUN): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) -e .
	touch $@

$(DEV): $(RUN)
	$(PIP) -e ".[jax,tensorflow-cpu,dev]"
	touch $@

clean:
	rm -rf $(VENV) artifacts/quick
