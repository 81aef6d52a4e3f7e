# From a fresh clone: `make demo` and `make test` make .venv and install what the lock files name.
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

.PHONY: demo test check format bench swap torture conformance operators clean

demo: .venv/demo.stamp
	$(BIN)/gateway demo $(ARGS)

test: .venv/dev.stamp
	$(BIN)/python -m pytest $(ARGS)

check: .venv/dev.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) test

format: .venv/dev.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/demo.stamp .venv-fastapi/peer.stamp
	$(BIN)/python -m loadtests.bench $(ARGS)

swap: .venv/demo.stamp
	$(BIN)/python -m loadtests.swap $(ARGS)

torture: .venv/dev.stamp
	$(BIN)/python -m pytest -m torture --no-cov $(ARGS)

conformance: operators

operators: .venv/dev.stamp
	$(BIN)/python -m tests.conformance.operators $(ARGS)

clean:
	rm -rf .venv .venv-fastapi

# The lock files carry hashes and are whole, so what is installed is what was tested: with --no-deps,
# no release that is newer than the lock is even looked at.
.venv/%.stamp: requirements/%.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --no-deps --require-hashes -r requirements/$*.txt
	$(BIN)/pip install --quiet --no-deps --editable .
	touch $@

.venv-fastapi/peer.stamp: requirements/fastapi.txt
	$(PYTHON) -m venv .venv-fastapi
	.venv-fastapi/bin/pip install --quiet --no-deps --require-hashes -r requirements/fastapi.txt
	touch $@
