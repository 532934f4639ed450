#!/usr/bin/env bash
# Run by Snakemake in the new environment, from the repository: one lock for conda and for pip.
# Snakemake makes the environment anew when this file changes, which therefore names the lock (`make lock`).
set -euo pipefail
sha256sum --check --quiet <<< '79e610e34555c3fee3bf3fc60ff0de71ff8d6a8ebca1d5ac33abd8568fb897c5  requirements.lock'
python -I -m pip install -r requirements.lock
python -I -m pip install --no-deps --no-build-isolation -e .
