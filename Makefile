# `make demo` and `make test` do all the set-up themselves; `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
MEMBERS := protos agent collector cli
PURE_CORE := */libcensus/facts/*,*/libcensus/agent/elf/*,*/libcensus/collector/posture/*
DEMO_ARGS ?=
GRAFANA ?=
GRAFANA_ARGS ?=
PYTEST_ARGS ?=
FUZZ_TARGETS ?=
ARCH ?= x86_64
CPYTHON ?=
SOURCES ?=
LABEL ?=
PLATFORMS ?=
FLEET_PLATFORMS := manylinux2014_x86_64-cp311 manylinux2014_x86_64-cp313 manylinux2014_x86_64-cp314

.PHONY: help demo test fleet-test lint types protos docs dashboards demo-grafana bench fuzz build bundle wheelhouse locks clean

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The environment: locked and hashed, the four distributions installed in place.
.venv/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "libcensus needs Python 3.11 or newer; name one with make PYTHON=...")'
	@$(PYTHON) -m venv .venv || { echo "no virtual environment could be made: on Debian install python3-venv" >&2; rm -rf .venv; exit 1; }

.venv/.runtime: requirements/runtime.txt $(MEMBERS:=/pyproject.toml) | .venv/bin/pip
	@echo "setting up .venv (once)" >&2
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements/runtime.txt
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation $(MEMBERS:%=-e ./%)
	@touch $@

.venv/.dev: requirements/dev.txt .venv/.runtime
	@echo "setting up .venv for tests (once)" >&2
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

demo: .venv/.runtime ## Scan this host, report it to a collector, show what is found and where the metrics are
	@$(BIN)/libcensus demo $(DEMO_ARGS)

test: .venv/.dev ## Run every test that needs no root, with coverage of the pure core
	@$(PYTHON) scripts/system_packages.py test
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not root" --cov --cov-report= $(PYTEST_ARGS)
	$(BIN)/python -m coverage report --include='$(PURE_CORE)' --fail-under=95 --skip-covered --precision=1

fleet-test: .venv/.dev ## Make what is deployed, and run the suite on real Debian roots (needs root)
	@test "$$(id -u)" = 0 || { echo "make fleet-test needs root: it makes real Debian roots" >&2; exit 1; }
	@$(PYTHON) scripts/system_packages.py test fleet-test
	$(MAKE) bundle ARCH=x86_64
	$(MAKE) bundle ARCH=aarch64
	$(MAKE) wheelhouse PLATFORMS="$(FLEET_PLATFORMS)"
	$(BIN)/python -m pytest -m root tests $(PYTEST_ARGS)

lint: .venv/.dev types ## Check style, types, import contracts, and that nothing generated has drifted
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/buf lint protos
	$(BIN)/python scripts/generate_protos.py --check
	$(BIN)/python scripts/generate_docs.py --check
	$(BIN)/python -m grafana --check

types: .venv/.dev ## Check types alone
	$(BIN)/mypy protos/src agent/src collector/src cli/src tests scripts benchmarks fuzz grafana release

protos: .venv/.dev ## Generate the contract's Python code
	$(BIN)/python scripts/generate_protos.py

dashboards: .venv/.dev ## Generate the dashboards' JSON from grafana/*.py
	$(BIN)/python -m grafana

demo-grafana: .venv/.dev ## Show the dashboards over a simulated fleet, in a Grafana that is here (GRAFANA=folder)
	@$(PYTHON) scripts/system_packages.py demo-grafana
	@$(BIN)/python -m grafana.demo --grafana "$(GRAFANA)" $(GRAFANA_ARGS)

docs: .venv/.dev ## Generate the pages that come from code
	$(BIN)/python scripts/generate_docs.py

bench: .venv/.dev ## Measure ratios against named peers
	@$(PYTHON) scripts/system_packages.py bench
	@test -x $(BIN)/syft || $(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements/bench.txt
	$(BIN)/python -m benchmarks

fuzz: .venv/.dev ## Fuzz every parser for FUZZ_SECONDS each (20 by default)
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements/fuzz.txt
	$(BIN)/python -m fuzz $(FUZZ_TARGETS)

build: .venv/.dev ## Build the four wheels into dist/
	@rm -rf dist && mkdir dist
	$(BIN)/pip wheel -q --no-deps --no-build-isolation --wheel-dir dist $(MEMBERS:%=./%)
	@ls dist

.venv/.bundle: requirements/bundle.txt .venv/.runtime
	@echo "setting up .venv for bundles (once)" >&2
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements/bundle.txt
	@touch $@

bundle: .venv/.bundle ## Build the self-contained agent with a Python of its own into dist/ (ARCH, LABEL, CPYTHON, SOURCES)
	@$(PYTHON) scripts/system_packages.py bundle
	@$(BIN)/python -m release bundle --arch "$(ARCH)" $(if $(CPYTHON),--cpython "$(CPYTHON)") \
	  $(foreach folder,$(SOURCES),--sources "$(folder)") $(if $(LABEL),--label "$(LABEL)")

wheelhouse: .venv/.runtime ## Gather the agent's wheels for hosts without an index into dist/ (PLATFORMS, LABEL)
	@$(BIN)/python -m release wheelhouse $(foreach platform,$(PLATFORMS),--platform "$(platform)") \
	  $(if $(LABEL),--label "$(LABEL)")

locks: ## Lock requirements/*.in again (needs uv)
	$(PYTHON) scripts/lock_requirements.py

clean: ## Remove the environment and everything built
	rm -rf .venv dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage htmlcov
