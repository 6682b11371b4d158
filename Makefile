# Few verbs. `make demo` and `make test` set everything up on a fresh machine.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: demo test lint types bench bench-distributed bench-serving bench-training faults docs clean

demo: $(VENV)/.demo
	$(BIN)/lepton demo

test: $(VENV)/.dev lint types
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/.dev
	$(BIN)/mypy

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks

bench-distributed: $(VENV)/.dev
	$(BIN)/python -m benchmarks distributed

bench-serving: $(VENV)/.dev
	$(BIN)/python -m benchmarks serving

bench-training: $(VENV)/.dev
	$(BIN)/python -m benchmarks training --profile

faults: $(VENV)/.dev
	$(BIN)/python -m pytest -m faults

docs: $(VENV)/.dev
	$(BIN)/python -m pytest tests/test_docs.py

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .import_linter_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	  || { echo 'Lepton needs Python 3.11 to 3.13. Name one: make PYTHON=python3.12 ...'; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[data,demo]"
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@ $(VENV)/.demo
