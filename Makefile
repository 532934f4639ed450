# One study from nothing to its report: `make study`. Everything else: `make help`.
STUDY ?= config/tiny.yaml
CORES ?= all
# workflow/profiles/PROFILE: default is this machine, slurm a cluster.
PROFILE ?= default
# More options for Snakemake: FLAGS=--use-conda.
FLAGS ?=
MODEL ?= bagel-tiny
# The Python that .venv is made with: the first that runs (a name that is found may be a version manager's shim).
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3; do \
    $$python -c '$(SUPPORTED)' 2> /dev/null && echo $$python && break; done)

SNAKEMAKE := snakemake --cores $(CORES) --configfile '$(STUDY)' --workflow-profile workflow/profiles/$(PROFILE) $(FLAGS)

# Use the packages of .venv only, not those of a cluster's modules or of the user's own folder.
unexport PYTHONHOME
export PYTHONNOUSERSITE := 1
# Keep compiled modules: containers often switch this off, and each of the many processes would compile them again.
unexport PYTHONDONTWRITEBYTECODE
# Programs keep caches below HOME, or in these folders if HOME is not writable.
ifneq ($(shell { file=$$(mktemp "$${HOME:?}/.sgt.XXXXXX") && echo > "$$file" && rm "$$file" && echo yes; } 2> /dev/null),yes)
export XDG_CACHE_HOME ?= $(CURDIR)/.snakemake/cache
export MPLCONFIGDIR ?= $(XDG_CACHE_HOME)/matplotlib
export TRITON_HOME ?= $(XDG_CACHE_HOME)
endif

# The conda environment of environment.yml has everything. Otherwise .venv has the locked packages, and it must be on the
# PATH of the jobs that Snakemake starts.
ifneq ($(CONDA_DEFAULT_ENV),sgt)
VENV := .venv
READY := $(VENV)/ready
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
endif

.DEFAULT_GOAL := help
.PHONY: help environment own-packages study dry-run pull test test-all app test-app test-conda test-slurm test-lmms-eval lmms-eval coverage golden lint types docs schema lock base perf-gpu

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14
	@echo 'example: make study STUDY=config/tiny.yaml CORES=8'

environment: $(READY) ## make .venv with the locked packages and sgt

.venv/ready: requirements.lock pyproject.toml
	@$(or $(PYTHON),false) -c '$(SUPPORTED)' 2> /dev/null || { \
	    echo 'make: Python 3.11, 3.12 or 3.13 is needed: install one, or name one (make study PYTHON=...)' >&2; exit 1; }
	$(PYTHON) -I -m venv $(VENV)
	$(VENV)/bin/python -I -m pip install --quiet -r requirements.lock
	$(VENV)/bin/python -I -m pip install --quiet --no-deps --no-build-isolation -e .
	touch $@

# Every command of sgt checks that PYTHONPATH does not put other packages before these.
own-packages: $(READY)
	@sgt --version > /dev/null

study: own-packages ## run STUDY (config/tiny.yaml) to its report on CORES (all) cores, or with PROFILE=slurm
	@sgt check --quiet '$(STUDY)'
	@$(SNAKEMAKE)

dry-run: own-packages ## show what `make study` would do
	@sgt check --quiet '$(STUDY)'
	$(SNAKEMAKE) --dry-run --quiet rules

pull: own-packages ## fetch base weights and what there is of this revision's results from DVC's remote, and have the workflow accept them
	dvc pull --allow-missing
	sgt adopt '$(STUDY)'
	@echo 'What DVC lists as missing was not pushed: the remote of a clone has no datasets, checkpoints and predictions. `make study` makes them.'

PYTEST := OMP_NUM_THREADS=1 python -m pytest -n auto --dist loadfile --no-loadscope-reorder

test: own-packages ## run the tests but the slow ones
	$(PYTEST) -m 'not slow'
	@echo 'Left out: whole studies (DVC, kills, console, paper, benchmarks), the site, random kills, more cases of changes and of processes, more ways to launch and to stop processes. They are marked slow: make test-all runs them too.'

test-all: own-packages ## run all tests but those of conda, SLURM and lmms-eval
	$(PYTEST)

lmms-eval: build/lmms-eval/ready ## make an environment with lmms-eval, for `sgt lmms-eval`: build/lmms-eval/bin/sgt

# Without dependencies: both files name all that is needed, and lmms-eval asks for more than it imports.
build/lmms-eval/ready: requirements.lock requirements-lmms-eval.txt pyproject.toml
	@$(or $(PYTHON),false) -c '$(SUPPORTED)'
	$(PYTHON) -I -m venv build/lmms-eval
	build/lmms-eval/bin/python -I -m pip install --quiet --no-deps -r requirements.lock -r requirements-lmms-eval.txt
	build/lmms-eval/bin/python -I -m pip install --quiet --no-deps --no-build-isolation -e .
	touch $@

test-lmms-eval: lmms-eval ## compare our scores with those of lmms-eval, on the same replies
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 build/lmms-eval/bin/python -m pytest tests/app/test_lmms_eval.py

coverage: own-packages ## run the tests and report which lines of sgt they reach: build/coverage/index.html
	$(PYTEST) --cov --cov-report=term --cov-report=html:build/coverage

# An environment of its own: gradio does not take the locked Pillow. It has what the tests of the app need, too.
APP := build/app

$(APP)/ready: requirements-app.lock pyproject.toml | $(READY)
	$(if $(VENV),$(VENV)/bin/python,python) -I -m venv --clear $(APP)
	$(APP)/bin/python -I -m pip install --quiet -r requirements-app.lock
	$(APP)/bin/python -I -m pip install --quiet --no-deps --no-build-isolation -e .
	touch $@

app: $(APP)/ready ## compare STUDY's arms on a picture in a browser, on this machine alone; it needs a finished study
	$(APP)/bin/sgt app '$(STUDY)'

test-app: $(APP)/ready ## test `sgt app`, in its own environment
	OMP_NUM_THREADS=1 $(APP)/bin/python -m pytest tests/app

test-conda: own-packages ## run the workflow with a real conda, made in build/conda where there is none
	tests/rigs/conda.sh build/conda
	SGT_TEST_CONDA=$(CURDIR)/build/conda/client/bin OMP_NUM_THREADS=1 python -m pytest tests/workflow/test_conda.py

test-slurm: own-packages ## run the workflow on a real SLURM, started on this host: as root, overwrites /etc/slurm
	tests/rigs/slurm.sh up build/slurm
	SGT_TEST_SLURM=1 OMP_NUM_THREADS=1 python -m pytest tests/workflow/test_slurm.py; \
	    status=$$?; tests/rigs/slurm.sh down build/slurm; exit $$status

lint: own-packages types ## check style, formatting, types and the workflow
	ruff check .
	ruff format --check .
	snakefmt --check workflow
	snakemake --lint --configfile $(STUDY)

types: own-packages ## check types
	mypy

docs: own-packages ## build the site of the documentation: build/site/index.html
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict --quiet

golden: own-packages ## renew the loss curves that tests/training/test_golden.py compares with
	OMP_NUM_THREADS=1 python -m tests.training.golden

perf-gpu: ## measure training and inference on a GPU, in ten minutes, with whatever python has torch: build/perf-gpu/results.md
	$(or $(GPU_PYTHON),python3) -m perf.gpu

schema: $(READY) ## write the schema of study files, for editors, and that of evidence.json
	sgt schema > config/study.schema.json
	sgt schema evidence > config/evidence.schema.json

lock: ## make the conda environment follow requirements.lock
	sed -i -E "s/[0-9a-f]{64}/$$(sha256sum requirements.lock | cut -c1-64)/" workflow/envs/sgt.post-deploy.sh

base: own-packages ## train the base weights of MODEL (bagel-tiny), one of STUDY's models, check them, and put them into data/base
	@sgt check '$(STUDY)' | grep '^model $(MODEL): ' > /dev/null || { \
	    echo 'make: $(STUDY) has no model $(MODEL) of known sizes: set STUDY to a study that has it' >&2; exit 1; }
	@results="$$(sgt check --results '$(STUDY)')" && made="$$results/base/$(MODEL)" && \
	    $(SNAKEMAKE) --forcerun pretrain -- "$$made/run.json" && \
	    sgt accept '$(STUDY)' --model '$(MODEL)' --checkpoint "$$made/final" --out "$$made/acceptance.json" && \
	    mkdir -p 'data/base/$(MODEL)' && \
	    cp -r "$$made/final/." "$$made/run.json" "$$made/curve.jsonl" "$$made/acceptance.json" 'data/base/$(MODEL)/' && \
	    cp "$$results/logs/pretrain/$(MODEL).log" 'data/base/$(MODEL)/pretrain.log'
	@echo 'Studies start from data/base/$(MODEL). Where data.dvc names other weights for it, they fetch those: to version these instead,'
	@echo 'dvc add data && dvc push && git add data.dvc .gitignore store && git commit'
