# Every target sets itself up: it needs Python 3.11 or newer, Node.js and npm, and nothing else of ours.
.DEFAULT_GOAL := help
.PHONY: help demo test check format bench torture matrix clean

# The first of these that is 3.11 or newer; `make test PYTHON=/path/to/python` chooses another.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin

help: ## Show this
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.venv/ready: pyproject.toml
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or newer found; name one: make test PYTHON=..." >&2; exit 2; }
	@echo "setting up .venv ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: .venv/ready ## Build a sample app, edit a file, build again
	@$(BIN)/python docs/demo.py

test: .venv/ready ## Pass the tests
	@$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

check: .venv/ready ## Format, lint and strict types
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

format: .venv/ready ## Mend what can be mended by machine
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: .venv/ready ## Measure, as ratios against a yardstick in the same run
	@$(BIN)/python -m benchmarks $(ARGS)

matrix: .venv/ready ## Tests with many versions of package managers, linters and type checkers
	@$(BIN)/python -m pytest -m matrix -n auto --dist worksteal $(ARGS)

torture: .venv/ready ## Long model-based runs
	@$(BIN)/python -m pytest -m torture -p no:xdist $(ARGS)

clean: ## Remove what the targets made here
	rm -rf .venv .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis dist
