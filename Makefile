# One study from nothing to its report: `make study`. Everything else: `make help`.
STUDY ?= config/tiny.yaml
CORES ?= all
# workflow/profiles/PROFILE: default is this machine, slurm a cluster.
PROFILE ?= default
# More options for Snakemake: FLAGS=--use-conda.
FLAGS ?=
MODEL ?= bagel-tiny
PYTHON ?= python3.11

SNAKEMAKE := snakemake --cores $(CORES) --configfile '$(STUDY)' --workflow-profile workflow/profiles/$(PROFILE) $(FLAGS)
# Snakemake's own lock outlives a killed run; this one does not.
LOCK := .snakemake/running
ALONE := flock --nonblock --conflict-exit-code 75 $(LOCK)

# In the conda environment of environment.yml everything is there; elsewhere .venv has the locked packages, and the jobs
# that Snakemake starts must find its `sgt` and `dvc`.
ifneq ($(CONDA_DEFAULT_ENV),sgt)
VENV := .venv
READY := $(VENV)/ready
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
endif

.DEFAULT_GOAL := help
.PHONY: help environment study dry-run pull test test-conda test-slurm lint schema lock base

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

environment: $(READY) ## make .venv with the locked packages and sgt

.venv/ready: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet -r requirements.lock
	$(VENV)/bin/python -m pip install --quiet --no-deps --no-build-isolation -e .
	touch $@

study: $(READY) ## run STUDY (config/tiny.yaml) to its report on CORES (all) cores, or with PROFILE=slurm
	@mkdir -p $(dir $(LOCK))
	@sgt check --quiet '$(STUDY)'
	@$(ALONE) $(SNAKEMAKE) --nolock || { status=$$?; [ $$status != 75 ] || echo 'make: a study is already running here' >&2; exit $$status; }

dry-run: $(READY) ## what `make study` would do
	@sgt check --quiet '$(STUDY)'
	$(SNAKEMAKE) --dry-run --quiet rules

pull: $(READY) ## fetch base weights and results of this revision's study from DVC's remote, and let the workflow know
	dvc pull
	sgt adopt '$(STUDY)'

test: $(READY) ## run the tests
	OMP_NUM_THREADS=1 python -m pytest -n auto --dist loadfile --no-loadscope-reorder

test-conda: $(READY) ## run the workflow with a real conda, made in build/conda where there is none
	tests/rigs/conda.sh build/conda
	SGT_TEST_CONDA=$(CURDIR)/build/conda/client/bin OMP_NUM_THREADS=1 python -m pytest tests/workflow/test_conda.py

test-slurm: $(READY) ## run the workflow on a real SLURM, started on this host: as root, overwrites /etc/slurm
	tests/rigs/slurm.sh up build/slurm
	SGT_TEST_SLURM=1 OMP_NUM_THREADS=1 python -m pytest tests/workflow/test_slurm.py; \
	    status=$$?; tests/rigs/slurm.sh down build/slurm; exit $$status

lint: $(READY) ## check style, formatting and the workflow
	ruff check .
	ruff format --check .
	snakefmt --check workflow
	snakemake --lint --configfile $(STUDY)

schema: $(READY) ## write the schema of study files, for editors
	sgt schema > config/study.schema.json

lock: ## tell the conda environment of a change to requirements.lock
	sed -i -E "s/[0-9a-f]{64}/$$(sha256sum requirements.lock | cut -c1-64)/" workflow/envs/sgt.post-deploy.sh

base: $(READY) ## make the base weights of MODEL (bagel-tiny) anew
	@mkdir -p $(dir $(LOCK))
	$(ALONE) $(SNAKEMAKE) --nolock --forcerun pretrain -- base
	mkdir -p data/base/$(MODEL)
	cp -r "$$(sgt check --results '$(STUDY)')/base/$(MODEL)/final/." data/base/$(MODEL)/
	@echo 'To version these weights: dvc add data && dvc push && git add data.dvc .gitignore store && git commit'
