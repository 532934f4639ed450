#!/usr/bin/env bash
# Run by Snakemake in the new environment, from the repository: one lock for conda and for pip.
set -euo pipefail
python -m pip install -r requirements.lock
python -m pip install --no-deps --no-build-isolation -e .
