# Two commands for a stranger: `make demo` and `make test`. Both create .venv and install into it what they need.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := asyncconn tests benchmarks examples

.PHONY: demo test check bench format clean

demo: $(VENV)/installed
	@$(BIN)/asyncconn demo $(ARGS)

test: check
	$(BIN)/pytest -n auto $(ARGS)

check: $(VENV)/installed-dev
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/installed-dev
	@$(BIN)/python -m benchmarks $(ARGS)

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "asyncconn needs Python 3.11 or newer: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "no virtual environment could be made: on Debian, apt install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"

$(VENV)/installed: $(BIN)/python pyproject.toml
	@echo "Installing asyncconn into $(VENV)"
	@$(BIN)/python -m pip install --quiet --editable ".[all]"
	@touch $@

# All in one command: what the tests need must not move what the project needs.
$(VENV)/installed-dev: $(BIN)/python pyproject.toml
	@echo "Installing asyncconn and what its tests need into $(VENV)"
	@$(BIN)/python -m pip install --quiet --editable ".[all]" --group dev
	@touch $(VENV)/installed $@

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
