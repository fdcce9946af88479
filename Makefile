# Everything runs in .venv of this checkout; `make setup` makes it, and every target that needs it asks for it.
PYTHON ?= python3
BIN := .venv/bin
UV := $(BIN)/uv
UV_VERSION := $(shell sed -n 's/^uv==\([0-9.]*\).*/\1/p' requirements.lock)
# One more than there are cores: many tests wait rather than compute.
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 2)
QUESTION := Which license does the file LICENSE name?
# Bytecode is what makes the second start quick.
unexport PYTHONDONTWRITEBYTECODE
export PYTHONUTF8 := 1
.DEFAULT_GOAL := help
.PHONY: help setup run test check fix bench prove docs lock clean

help: ## Show this help
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-14s %s\n", $$1, $$2}'

setup: .venv/ready ## Install the CLI, its runtime and the developers' tools into .venv
.venv/ready: requirements.lock pyproject.toml
	@echo "Setting up .venv (a minute or so the first time)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Agent Foundry needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make setup PYTHON=python3.12")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@test -x $(UV) || $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps uv==$(UV_VERSION)
	$(UV) pip sync --python $(BIN)/python --require-hashes requirements.lock
	$(UV) pip install --python $(BIN)/python --quiet --no-deps --no-build-isolation --editable .
	@touch $@

run: setup ## Make the guide agent and talk to it about this very checkout
	@test -d agents/guide || $(BIN)/foundry create guide --home . --blueprint guide --no-input
	@if [ -t 0 ] && [ -t 1 ]; then \
	  exec $(BIN)/foundry run guide --home . --folder .; \
	else \
	  echo "No terminal: asking one question."; echo "> $(QUESTION)"; \
	  exec $(BIN)/foundry run guide --home . --folder . -p "$(QUESTION)" </dev/null; \
	fi

test: setup ## Run every test but the long proofs (under 10 minutes)
	$(BIN)/python -m pytest -n $(WORKERS) -m "not prove" tests

check: setup ## Formatting, lint, types, import contracts, generated docs, fast tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --verbose
	$(BIN)/python -P tests/readme.py --check
	$(BIN)/python -m pytest -q -n $(WORKERS) -m "not slow and not prove" tests

fix: setup ## Format and mend what ruff can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup ## Measure what has a number, as ratios in one run
	$(BIN)/python -P -m tests.benchmarks

prove: setup ## The long proofs: kills, cuts, the embedded model
	$(BIN)/python -m pytest -m prove -x tests

docs: setup ## Write the generated parts of README from the code
	$(BIN)/python -P tests/readme.py

lock: setup ## Resolve the committed locks anew
	$(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --all-extras --group dev pyproject.toml -o requirements.lock --custom-compile-command "make lock"
	$(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --extra agent -c requirements.lock pyproject.toml -o foundry/agent/runtime.lock --custom-compile-command "make lock"
	$(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --extra agent --extra tools -c requirements.lock pyproject.toml -o foundry/agent/tools.lock --custom-compile-command "make lock"

clean: ## Remove .venv and every cache of the checkout
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
