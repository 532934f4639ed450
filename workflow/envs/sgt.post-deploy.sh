#!/usr/bin/env bash
# Run by Snakemake in the new environment, from the repository: one lock for conda and for pip.
# Snakemake makes the environment anew when this file changes, which therefore names the lock (`make lock`).
set -euo pipefail
sha256sum --check --quiet <<< '58398e30dd87c494f146b37ca3da4213ac1743418f041f764951b4c00d813831  requirements.lock'
python -I -m pip install -r requirements.lock
python -I -m pip install --no-deps --no-build-isolation -e .
