# One study from nothing to its report: `make study`. Everything else: `make help`.
STUDY ?= config/tiny.yaml
CORES ?= all
MODEL ?= bagel-tiny
PYTHON ?= python3.11

VENV := .venv
READY := $(VENV)/ready
SNAKEMAKE := snakemake --cores $(CORES) --configfile $(STUDY)

# The jobs that Snakemake starts must find this environment's `sgt` and `dvc`.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help environment study dry-run test lint base

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

environment: $(READY) ## make .venv with the locked packages and sgt

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet -r requirements.lock
	$(VENV)/bin/python -m pip install --quiet --no-deps --no-build-isolation -e .
	touch $@

# Snakemake's own lock outlives a killed run; this one does not.
study: $(READY) ## run STUDY (config/tiny.yaml) to its report on CORES (all) cores
	@flock --nonblock $(VENV)/running true || { echo 'make: a study is already running here' >&2; exit 1; }
	flock $(VENV)/running $(SNAKEMAKE) --nolock --workflow-profile workflow/profiles/default

dry-run: $(READY) ## what `make study` would do
	$(SNAKEMAKE) --workflow-profile workflow/profiles/default --dry-run --quiet rules

test: $(READY) ## run the tests
	OMP_NUM_THREADS=1 python -m pytest -n auto --dist loadfile

lint: $(READY) ## check style, formatting and the workflow
	ruff check .
	ruff format --check .
	snakefmt --check workflow
	snakemake --lint --configfile $(STUDY)

base: $(READY) ## make the base weights of MODEL (bagel-tiny) anew
	flock $(VENV)/running $(SNAKEMAKE) --nolock --workflow-profile workflow/profiles/default --forcerun pretrain -- base
	mkdir -p data/base/$(MODEL)
	cp -r results/base/$(MODEL)/final/. data/base/$(MODEL)/
	@echo 'To version these weights: dvc add data && dvc push && git add data.dvc .gitignore store && git commit'
