# `make demo` and `make test` set up their own .venv and leave the machine's Python alone.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

# Three workers on two cores, as a third of their time is waiting; `tests/scheduling.py` says which
# tests one of them does in turn.
PYTEST := $(BIN)/python -m pytest -n 3

# Where this is set, every process that a test starts compiles all of our files again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-all pytest pytest-all lint types docs check-docs bare audit sbom clean

demo: $(STAMP)
	$(BIN)/al demo

# The checks run beside the tests, which at first wait for processes more than they compute.
test test-all: lint
	$(MAKE) --no-print-directory -j 3 pytest$(@:test%=%) types check-docs

pytest: $(STAMP)
	$(PYTEST) -q -m "not long"

pytest-all: $(STAMP)
	$(PYTEST) -q

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(STAMP)
	$(BIN)/mypy

SPHINX := $(BIN)/python -m sphinx -W --keep-going -q -b html
docs: $(STAMP)
	$(SPHINX) docs docs/_build/html

# The same pages without those of the source code.
check-docs: $(STAMP)
	$(SPHINX) -t check docs docs/_build/check

# What `pip install associated_learning` alone can do: the wheel in an empty environment.
BARE := .venv-bare
bare: $(STAMP)
	rm -rf $(BARE) dist-bare
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist-bare .
	$(PYTHON) -m venv $(BARE)
	$(BARE)/bin/python -m pip install --quiet --constraint constraints.txt pip torch
	$(BARE)/bin/python -m pip install --quiet --constraint constraints.txt dist-bare/*.whl
	$(BARE)/bin/python -I tests/bare_install.py

# Apart from `make test`, because the first of them asks PyPI for known holes. --strict: a package
# that could not be looked up is a failure, not a pass.
AUDIT := .venv-audit
audit: $(AUDIT)/.installed
	$(AUDIT)/bin/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt

# What is installed, with versions and licences, in the form of CycloneDX; needs no network.
sbom: $(STAMP) $(AUDIT)/.installed
	$(AUDIT)/bin/cyclonedx-py environment $(BIN)/python --pyproject pyproject.toml \
		--mc-type library --output-reproducible --output-format JSON --output-file sbom.json

$(AUDIT)/.installed: Makefile
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python -m pip install --quiet pip-audit==2.10.1 cyclonedx-bom==7.5.0
	touch $@

# torch first and by its exact version: an unpinned torch would pull the CUDA build.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt pip torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev,docs]"
	touch $(STAMP)

clean:
	rm -rf .venv .venv-bare .venv-audit dist-bare .mypy_cache .ruff_cache .pytest_cache docs/_build
	rm -f sbom.json
