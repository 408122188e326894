# Every target sets itself up: it needs Python 3.11 or newer, Node.js and npm, and nothing else of ours.
.DEFAULT_GOAL := help
.PHONY: help demo test latest lock check format bench strace torture matrix sst clean

# The first of these that is 3.11 or newer; `make test PYTHON=/path/to/python` chooses another.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
LOCK := requirements/dev.txt
PIP := -m pip --disable-pip-version-check install --quiet

help: ## Show this
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# pip's hash mode takes no editable project, so the lock comes first and the project after it, built
# by the backend that the lock brought. Wheels only: building an sdist would fetch what no hash covers.
.venv/ready: pyproject.toml $(LOCK)
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or newer found; name one: make test PYTHON=..." >&2; exit 2; }
	@echo "setting up .venv ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python $(PIP) --require-hashes --only-binary :all: --requirement $(LOCK)
	@$(BIN)/python $(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

demo: .venv/ready ## Build a sample app, edit a file, build again
	@$(BIN)/python docs/demo.py

test: .venv/ready ## Pass the tests
	@$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

# A venv made anew each time: an upgrade would leave what the newest versions no longer need.
latest: ## Pass the tests with the newest versions that pyproject.toml allows
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or newer found; name one: make latest PYTHON=..." >&2; exit 2; }
	@$(PYTHON) -m venv --clear .venv-latest
	@.venv-latest/bin/python $(PIP) --upgrade --upgrade-strategy eager --editable '.[dev]'
	@.venv-latest/bin/python -m pytest -n auto --dist worksteal $(ARGS)

# uv reads none of pip's settings, and is asked to write no address of an index or a folder.
lock: .venv/ready ## Write requirements/dev.txt again, with the newest versions that pyproject.toml allows
	@$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
		--no-annotate --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' \
		--extra dev --output-file $(LOCK) pyproject.toml

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

strace: .venv/ready ## Under strace: all that builds look at is recorded, and what lies in our files' way is refused
	@$(BIN)/python -m pytest -m strace -n auto --dist worksteal $(ARGS) tests/whole/test_recorded.py tests/whole/test_obstacles.py

torture: .venv/ready ## Long model-based runs
	@$(BIN)/python -m pytest -m torture -p no:xdist $(ARGS)

# SST's packages, and an emulator of AWS for it, are fetched into .sst-lab by npm and pip.
sst: .venv/ready ## The real sst start and sst build of SST 1, alone and with lambdad
	@LAMBDAD=$(abspath $(BIN)/lambdad) PYTHON=$(BIN)/python node clients/sst/test/real/run.js --folder $(abspath .sst-lab) $(ARGS)

clean: ## Remove what the targets made here
	rm -rf .venv .venv-latest .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .sst-lab dist
