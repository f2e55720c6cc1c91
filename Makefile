# `make demo` and `make test` set up their own .venv and leave the machine's Python alone.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: demo test lint types docs bare clean

demo: $(STAMP)
	$(BIN)/al demo

test: lint types docs
	$(BIN)/python -m pytest

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(STAMP)
	$(BIN)/mypy

docs: $(STAMP)
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

# What `pip install associated_learning` alone can do: the wheel in an empty environment.
BARE := .venv-bare
bare: $(STAMP)
	rm -rf $(BARE) dist-bare
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist-bare .
	$(PYTHON) -m venv $(BARE)
	$(BARE)/bin/python -m pip install --quiet --constraint constraints.txt pip torch
	$(BARE)/bin/python -m pip install --quiet --constraint constraints.txt dist-bare/*.whl
	$(BARE)/bin/python -I tests/bare_install.py

# torch first and by its exact version: an unpinned torch would pull the CUDA build.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt pip torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev,docs]"
	touch $(STAMP)

clean:
	rm -rf .venv .venv-bare dist-bare .mypy_cache .ruff_cache .pytest_cache docs/_build
