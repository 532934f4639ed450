#!/usr/bin/env bash
# Run by Snakemake in the new environment, from the repository: one lock for conda and for pip.
# Snakemake makes the environment anew when this file changes, which therefore names the lock (`make lock`).
set -euo pipefail
sha256sum --check --quiet <<< '0179e77781abef353ab5069c664c9b386581783ed5fee747d524023c56264f57  requirements.lock'
python -I -m pip install -r requirements.lock
python -I -m pip install --no-deps --no-build-isolation -e .
