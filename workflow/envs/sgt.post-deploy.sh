#!/usr/bin/env bash
# Run by Snakemake in the new environment, from the repository: one lock for conda and for pip.
# Snakemake makes the environment anew when this file changes, which therefore names the lock (`make lock`).
set -euo pipefail
sha256sum --check --quiet <<< '2a8118cdb2d3131f6cbdbc5b6a310c550e1a41e1fb6a36cfe034f035fed35a3a  requirements.lock'
python -I -m pip install -r requirements.lock
python -I -m pip install --no-deps --no-build-isolation -e .
