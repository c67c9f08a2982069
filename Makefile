# `make help` lists what there is. Everything runs inside .venv, which the first target that needs it creates.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.ONESHELL:

PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.installed
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export MLFLOW_TRACKING_URI ?= sqlite:///mlflow.db
export DVC_NO_ANALYTICS := 1
MINUTES ?= 60
ON ?= here

.PHONY: help
help:  ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

.PHONY: install
install: $(STAMP)  ## Create .venv with the locked dependencies

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "error: Python 3.11 or later is needed; name one with: make PYTHON=python3.12 ..." >&2; exit 2; }
	$(PYTHON) -m venv $(VENV) \
	  || { echo "error: this Python has no venv module; install it (Debian: python3-venv)" >&2; exit 2; }
	echo "Installing the locked dependencies into $(VENV): several GB the first time"
	pip install --quiet --disable-pip-version-check --no-deps --requirement requirements.lock
	pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	python -m assay.report.vega $(VENV)/vega.js
	touch $@

.PHONY: check
check: $(STAMP)  ## Check params.yaml: one line for each thing wrong
	assay check

.PHONY: preset
preset: $(STAMP)  ## Rewrite params.yaml by a preset (make preset NAME=...); without a name, list them
	@assay preset "$(NAME)"

.PHONY: repro
repro: $(STAMP)  ## Run the pipeline: whatever a change touched, and nothing else (ON=ray: on a cluster)
	@assay repro --on "$(ON)"

.PHONY: plan
plan: $(STAMP)  ## Say which stages a change reruns, why, and how long they take; runs nothing
	@assay plan

.PHONY: archive
archive: $(STAMP)  ## Keep a finished run in results/NAME (NOTE="what was shortened", FORCE=1 replaces another)
	@assay archive "$(NAME)" --note "$${NOTE:-}" $(if $(FORCE),--force)

.PHONY: decide
decide: $(STAMP)  ## Train more seeds where claims are undecided (MINUTES=60; DRY=1 prints the plan alone)
	@assay decide --on "$(ON)" --minutes "$(MINUTES)" $(if $(filter-out 0,$(DRY)),--dry)

.PHONY: experiments
experiments: $(STAMP)  ## Compare what `dvc exp run` made: the numbers and parameters that differ
	@assay experiments

.PHONY: track
track: $(STAMP)  ## Write what the stages left to MLflow (again: only what it lacks)
	assay track

.PHONY: follow
follow: $(STAMP)  ## Stream the curves of a running training to MLflow
	assay follow

.PHONY: ui
ui: $(STAMP)  ## Open the MLflow UI on what was tracked, at http://127.0.0.1:5000 (or PORT=...)
	@assay ui

.PHONY: lint
lint: $(STAMP)  ## Run the checks that run no code
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	check-jsonschema --builtin-schema vendor.compose-spec deploy/compose.yaml
	shellcheck deploy/slurm.sh .ci/run

.PHONY: report
report: $(STAMP)  ## Write the report anew from what was evaluated, and open it
	assay report
	python -m webbrowser -t "file://$(CURDIR)/metrics/report/index.html" || true
	echo "metrics/report/index.html"

.PHONY: test
test: lint  ## Run all checks and tests
	pytest --numprocesses $${PYTEST_WORKERS:-2}

.PHONY: test-services
test-services: $(STAMP)  ## Test a team's servers, all here: MLflow on PostgreSQL, S3, and as root SLURM (it installs them then)
	@missing=$$(compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || echo postgresql)
	if [ "$$(id -u)" = 0 ]; then
	  command -v slurmctld >/dev/null || missing="$$missing slurm-wlm"
	  [ -z "$$missing" ] || { apt-get update -qq && apt-get install -y -qq $$missing; } >/dev/null
	elif [ -n "$$missing" ]; then
	  echo "error: PostgreSQL is not installed; as root: apt-get install postgresql" >&2; exit 2
	fi
	ASSAY_SERVICES=1 pytest tests/services

.PHONY: test-gpu
test-gpu: $(STAMP)  ## Run the tests that a GPU can change, on the GPU
	@python -c 'import sys, torch; torch.cuda.is_available() or sys.exit("error: PyTorch finds no CUDA device here")'
	pytest -k cuda

.PHONY: bench
bench: $(STAMP)  ## Measure the engine against a plain PyTorch loop and the machine's own ceiling
	python -m benchmarks.bench

.PHONY: torture
torture: $(STAMP)  ## Kill a small pipeline at 100 random moments; its results must be those of an undisturbed run
	python -m benchmarks.torture $(TORTURE)

.PHONY: bench-sparse
bench-sparse: $(STAMP)  ## Measure what the sparsity of the pruning rounds buys in bytes and milliseconds
	python -m benchmarks.sparsity

.PHONY: format
format: $(STAMP)  ## Format the code
	ruff format .
	ruff check --fix .

.PHONY: lock
lock: $(STAMP)  ## Write requirements.lock anew from pyproject.toml
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --quiet --no-annotate --no-header --output-file requirements.lock

# What CI runs (docs/ci.md); each works anywhere that has git, and for ci-repro a DVC remote.
BASE ?= main

.PHONY: ci-plan
ci-plan: $(STAMP)  ## CI: which stages the branch reruns, on the pull request; needs no data
	assay ci-plan --base "$(BASE)"

.PHONY: ci-repro
ci-repro: $(STAMP)  ## CI: run those stages, take all else from the DVC remote, push what is new
	assay ci-repro

.PHONY: ci-commit
ci-commit: $(STAMP)  ## CI: commit dvc.lock and the metrics to BRANCH
	assay ci-commit --branch "$(BRANCH)"

.PHONY: ci-report
ci-report: $(STAMP)  ## CI: track in MLflow, compare with BASE (main), fail where a claim regressed
	assay ci-track
	assay ci-report --base "$(BASE)"

.PHONY: clean
clean:  ## Remove caches and scratch, but no result
	rm -rf .assay .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find src stages tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
