# `make demo` and `make test` are all that a new machine needs: Python >= 3.11, pip, git and make (`make test-deep`: strace too).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SPARK := $(VENV)/.spark

.PHONY: demo serve test test-deep lint docs lock clean help

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Honeyguide needs Python >= 3.11; this is " + sys.version.split()[0] + ". Say which to use: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv --clear --without-pip $(VENV)
	$(PYTHON) -m pip --python $(BIN)/python install --quiet --require-hashes -r requirements.lock
	$(PYTHON) -m pip --python $(BIN)/python install --quiet --no-deps --no-build-isolation -e .
	@touch $@

# Spark is half a gigabyte, and of no use without Java: the tests say what was not run for want of it.
$(SPARK): $(READY) requirements-spark.lock
	@if command -v java >/dev/null || test -n "$$JAVA_HOME"; then \
		$(PYTHON) -m pip --python $(BIN)/python install --quiet --require-hashes -r requirements-spark.lock; \
	fi
	@touch $@

demo: $(READY) ## run the whole path on real data over HTTP: decide, reward, learn, evaluate
	$(BIN)/honeyguide demo

serve: $(READY) ## keep a server up on the embedded store (port 8080, ./honeyguide-data)
	$(BIN)/honeyguide serve

lint: $(READY) ## style, types and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

test: lint ## everything that guards a change, in minutes
	$(BIN)/python -m pytest -m "not deep and not spark"

test-deep: $(READY) $(SPARK) ## the long rounds: simulations, faults, the built wheel, Spark where Java is, the docs site
	$(BIN)/python -m pytest -m "deep or spark" --timeout 1200
	$(MAKE) docs

docs: $(READY) ## build the documentation site into site/
	$(BIN)/zensical build --clean --strict

LOCKED := uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet

lock: $(READY) ## resolve pyproject.toml anew into the two locks (needs uv)
	$(LOCKED) pyproject.toml --group dev -o requirements.lock
	$(LOCKED) --group spark -o requirements-spark.lock

clean: ## remove what the targets made, but no data
	rm -rf $(VENV) site build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
