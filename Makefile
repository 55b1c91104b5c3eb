# Two commands for a stranger: `make demo` and `make test`. Both create .venv and install into it what they need.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := asyncconn tests benchmarks examples

# Servers that the service tests start for themselves, as program:Debian package. Add one here when a test needs it.
SERVICES := sshd:openssh-server

.PHONY: demo test services check bench format clean

demo: $(VENV)/installed
	@$(BIN)/asyncconn demo $(ARGS)

test: services check
	$(BIN)/pytest -n auto $(ARGS)

# What is missing is installed where that is possible without asking; elsewhere its tests are skipped, and say why.
services:
	@missing=""; \
	for service in $(SERVICES); do \
	  PATH="$$PATH:/usr/sbin:/usr/local/sbin" command -v "$${service%%:*}" >/dev/null || missing="$$missing $${service##*:}"; \
	done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
	  echo "Some tests will be skipped. To run them, as root: apt-get install$$missing"; exit 0; \
	fi; \
	echo "Installing for the service tests:$$missing"; \
	export DEBIAN_FRONTEND=noninteractive; \
	{ apt-get -qq update && apt-get -qq install --yes --no-install-recommends $$missing; } >/dev/null 2>&1 \
	  || echo "That failed. Some tests will be skipped. To run them, as root: apt-get install$$missing"

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
