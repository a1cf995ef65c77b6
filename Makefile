# make reproduce: the nine-model study in minutes, on digits that need no network
# make test:      the tests; both make the virtual environment if it is not current
# make test-lowest: a part of the tests with the lowest versions that are declared
# make paper:     the full study on the full MNIST (3 to 4 hours on 2 cores)
# make bench:     what is fast and what is not, as ratios measured in one run
# make wheel:     the wheel, the same bytes from the same tree; dist/
# make coverage:  the tests once more, with lines and branches counted; below 95 % fails
# make mutants:   small faults put into a few modules, and how many the tests notice
# make hostile:   hostile and damaged files, each handed to the command that reads it
# make fuzz:      coverage-guided fuzzing of each parser, ten minutes of CPU each
# make docs:     the documentation as HTML, in build/docs; warnings are errors
# make audit:     the pinned versions, asked of a database of known vulnerabilities
# make faults:    kills and full disks at random moments; what was lost, what came back

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
RUN := $(VENV)/.current
DEV := $(VENV)/.current-dev
LOWEST := .venv-lowest
QUALITY := $(VENV)/.current-quality
DOCS := $(VENV)/.current-docs
FUZZ := $(VENV)/.current-fuzz
PARSERS := noise config npz idx image json keras
OLD_TESTS := tests/system tests/models tests/system/test_concurrency.py tests/system/test_storage.py \
	tests/test_start.py tests/images tests/training/fast/test_steps.py
OSV := https://api.osv.dev/v1/query

.PHONY: reproduce test test-lowest paper bench faults wheel coverage mutants hostile fuzz audit lint \
	format docs clean

reproduce: $(RUN)
	$(BIN)/python cli.py reproduce --config configs/quick.toml --seeds 1 --out artifacts/quick

paper: $(RUN)
	$(BIN)/python cli.py reproduce --config configs/paper.toml --seeds 5 --close-seeds 8 --out artifacts/study

bench: $(DEV)
	$(BIN)/python -m benchmarks.bench

faults: $(RUN)
	$(BIN)/python -m benchmarks.faults --out artifacts/faults.json

test: $(DEV)
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile
	$(BIN)/python -m pytest -m cuda

# Warnings that old versions give of one another are no errors here.
test-lowest: $(LOWEST)/.current
	KERAS_BACKEND=torch $(LOWEST)/bin/python -m pytest -W default $(OLD_TESTS)

wheel: $(DEV)
	$(BIN)/python -m benchmarks.build dist

coverage: $(DEV)
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

mutants: $(QUALITY)
	$(BIN)/python -m benchmarks.mutants

hostile: $(DEV)
	$(BIN)/python -m tests.hostile.campaign --out artifacts/hostile.json
	$(BIN)/python -m tests.hostile.campaign --more --out artifacts/hostile-more.json

fuzz: $(FUZZ)
	for name in $(PARSERS); do $(BIN)/python -m tests.hostile.fuzz $$name --minutes 10 || exit 1; done
	$(BIN)/python -m tests.hostile.shrink $(PARSERS)

docs: $(DOCS)
	$(BIN)/python -m sphinx -W -E --keep-going -q -c docs . build/docs
	@echo build/docs/docs/index.html

# Each version is pinned, so nothing has to be resolved; one that is not found fails.
audit: $(DEV)
	$(BIN)/pip-audit --strict --disable-pip --no-deps --requirement constraints.txt \
		--vulnerability-service osv --osv-url $(OSV)

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(DEV)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(RUN): pyproject.toml constraints.txt
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || { echo \
		"$(PYTHON) is older than Python 3.11; PYTHON=python3.11 make takes another." >&2; \
		exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) -e .
	touch $@

# The linter of the page's JavaScript is left out where npm is missing or fails.
$(DEV): $(RUN)
	$(PIP) -e ".[jax,tensorflow-cpu,dev]"
	-@if command -v npm > /dev/null; then npm install --silent --no-package-lock \
		--prefix tests/page; fi
	touch $@

$(FUZZ): $(DEV)
	$(PIP) -e ".[fuzz]"
	touch $@

$(QUALITY): $(DEV)
	$(PIP) -e ".[quality]"
	touch $@

$(DOCS): $(RUN)
	$(PIP) -e ".[docs]"
	touch $@

$(LOWEST)/.current: pyproject.toml constraints-lowest.txt
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check \
		-c constraints-lowest.txt -e ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) $(LOWEST) artifacts/quick dist
