# From a fresh clone: `make demo` and `make test` make .venv and install what the lock files name.
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

# Peers of the benchmark, each in an environment of its own. C++ needs g++, Boost and nlohmann-json.
# One more, kibae/onnxruntime-server, is built by hand; ONNXRUNTIME_SERVER names its program.
PEERS := fastapi kserve mlserver litserve bentoml cpp
CXX ?= g++

.PHONY: demo test check format bench bench-peers bench-gate bench-docs profile stages
.PHONY: coverage diagrams swap overload integration trail torture conformance kserve operators clean

demo: .venv/demo.stamp
	$(BIN)/gateway demo $(ARGS)

# The tests of one file run in one process: two of those at a time.
test: .venv/dev.stamp
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(ARGS)

coverage: .venv/dev.stamp
	$(BIN)/python -m pytest --cov=gateway --cov=registry --cov-branch \
		--cov-report=term-missing:skip-covered $(ARGS)

check: .venv/dev.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) test

format: .venv/dev.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/demo.stamp .venv-peer-fastapi/peer.stamp
	$(BIN)/python -m loadtests.bench $(ARGS)

# One peer that cannot be installed keeps no other from being so; the benchmark names it.
bench-peers:
	-$(MAKE) --keep-going $(PEERS:%=.venv-peer-%/peer.stamp)
	@echo "C++ onnxruntime-server is built by hand: docs/benchmarks.md, 'The published C++ server'."

bench-gate: .venv/demo.stamp
	$(BIN)/python -m loadtests.gate $(ARGS)

bench-docs: .venv/demo.stamp
	$(BIN)/python -m loadtests.docs

diagrams: .venv/demo.stamp
	$(BIN)/python -m registry.diagrams docs/promoting.md docs/rollouts.md

profile: .venv/demo.stamp .venv-peer-py-spy/peer.stamp
	$(BIN)/python -m loadtests.profile $(ARGS)

stages: .venv/demo.stamp
	$(BIN)/python -m loadtests.stages $(ARGS)

swap: .venv/demo.stamp
	$(BIN)/python -m loadtests.swap $(ARGS)

overload: .venv/demo.stamp
	$(BIN)/python -m loadtests.overload $(ARGS)

trail: .venv/demo.stamp
	$(BIN)/python -m loadtests.trail $(ARGS)

integration: .venv/demo.stamp
	$(BIN)/python -m loadtests.integration $(ARGS)

torture: .venv/dev.stamp
	$(BIN)/python -m pytest -m torture -rp $(ARGS)

conformance: operators kserve

kserve: .venv/dev.stamp .venv-peer-kserve/peer.stamp
	$(BIN)/python -m pytest -m conformance -rP tests/conformance/test_kserve.py $(ARGS)

operators: .venv/dev.stamp
	$(BIN)/python -m tests.conformance.operators $(ARGS)

clean:
	rm -rf .venv .venv-peer-*

# The lock files carry hashes and are whole, so what is installed is what was tested: with --no-deps,
# no release that is newer than the lock is even looked at.
.venv/%.stamp: requirements/%.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --no-deps --require-hashes -r requirements/$*.txt
	$(BIN)/pip install --quiet --no-deps --editable .
	touch $@

.venv-peer-cpp/peer.stamp: $(wildcard loadtests/peers/cpp_server/*)
	mkdir -p $(@D)
	$(CXX) -O2 -std=c++17 -Wall -Wextra -pthread -o $(@D)/server loadtests/peers/cpp_server/server.cpp -ldl
	touch $@

.venv-peer-%/peer.stamp: requirements/%.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install --quiet --no-deps --require-hashes -r requirements/$*.txt
	touch $@
