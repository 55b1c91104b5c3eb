# Two commands for a stranger: `make demo` and `make test`. Both create .venv and install into it what they need.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := asyncconn tests benchmarks examples docs/conf.py
CORE := tests/core tests/http tests/*/wire tests/house/test_hub_*

# Servers that the service tests start for themselves, as program:Debian package. Add one here when a test needs it.
SERVICES := sshd:openssh-server mosquitto:mosquitto rabbitmq-server:rabbitmq-server redis-server:redis-server \
  chromium:chromium chromedriver:chromium-driver

# Tests wait as much as they compute: one worker more than there are cores.
WORKERS ?= $(shell expr $$(nproc 2>/dev/null || echo 2) + 1)

# Tests and benchmarks start hundreds of programs: without bytecode each would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo demo-cluster test lowest newer services check docs bench bench-check format clean

demo: $(VENV)/installed
	@$(BIN)/asyncconn demo $(ARGS)

demo-cluster: $(VENV)/installed services
	@$(BIN)/python -m asyncconn.cli.demo.cluster $(ARGS)

test: services check
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup $(ARGS)

# The core with the lowest versions that pyproject.toml allows.
lowest: $(VENV)-lowest/installed
	$(VENV)-lowest/bin/python -m pytest -n auto $(CORE) tests/panoply/test_* $(ARGS)

# The core on the newest other Python that there is; NEWER=... names one.
NEWER = $(shell sh .ci/newer-python $(BIN)/python)
newer: $(BIN)/python
	@test -n "$(NEWER)" || { echo "no newer Python was found"; exit 1; }
	@test -x $(VENV)-newer/bin/python || $(NEWER) -m venv $(VENV)-newer
	@$(VENV)-newer/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	@$(VENV)-newer/bin/python -m pip install --quiet --editable ".[all]" --group test
	$(VENV)-newer/bin/python -m pytest -n auto $(CORE) tests/panoply/test_lifecycle.py tests/panoply/test_spool_kill.py $(ARGS)

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

# The pages and the reference as a site, in build/site; whatever Sphinx remarks is an error.
docs: $(VENV)/installed-dev
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going docs build/site $(ARGS)
	@echo "The site is in build/site: open build/site/index.html"

bench: $(VENV)/installed-dev
	@$(BIN)/python -m benchmarks $(ARGS)

# Some minutes: the ratios in instructions are those of benchmarks/recorded.json; ARGS=record writes it anew.
bench-check: $(VENV)/installed-dev
	@$(BIN)/python -m benchmarks.check $(ARGS)

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

# uv knows how to choose the lowest; it is needed for this only.
$(VENV)-lowest/installed: $(BIN)/python pyproject.toml
	@$(BIN)/python -m pip install --quiet uv
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(VENV)-lowest
	@$(BIN)/uv pip install --quiet --python $(VENV)-lowest/bin/python --resolution lowest-direct --editable ".[all]" --group test
	@touch $@

clean:
	rm -rf $(VENV) $(VENV)-lowest $(VENV)-newer build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
