# From a fresh clone: `make demo` and `make test` make .venv and install what the lock files name.
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

.PHONY: demo test check format bench swap torture conformance kserve operators clean

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

conformance: operators kserve

kserve: .venv/dev.stamp .venv-kserve/client.stamp
	$(BIN)/python -m pytest -m conformance --no-cov -rP tests/conformance/test_kserve.py $(ARGS)

operators: .venv/dev.stamp
	$(BIN)/python -m tests.conformance.operators $(ARGS)

clean:
	rm -rf .venv .venv-fastapi .venv-kserve

# The lock files carry hashes and are whole, so what is installed is what was tested: with --no-deps,
# no release that is newer than the lock is even looked at.
.venv/%.stamp: requirements/%.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --no-deps --require-hashes -r requirements/$*.txt
	$(BIN)/pip install --quiet --no-deps --editable .
	touch $@

# KServe's client needs Kubernetes, pandas, gRPC and FastAPI, so it has an environment of its own.
.venv-kserve/client.stamp: requirements/kserve.txt
	$(PYTHON) -m venv .venv-kserve
	.venv-kserve/bin/pip install --quiet --no-deps --require-hashes -r requirements/kserve.txt
	touch $@

.venv-fastapi/peer.stamp: requirements/fastapi.txt
	$(PYTHON) -m venv .venv-fastapi
	.venv-fastapi/bin/pip install --quiet --no-deps --require-hashes -r requirements/fastapi.txt
	touch $@
