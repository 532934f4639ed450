#!/usr/bin/env bash
# Run by Snakemake in the new environment, from the repository: one lock for conda and for pip.
# Snakemake makes the environment anew when this file changes, which therefore names the lock (`make lock`).
set -euo pipefail
sha256sum --check --quiet <<< 'ab2b3e4825201dd30be632f37343bb60973ea3ef8d876eba618c2587ad061d3f  requirements.lock'
python -I -m pip install -r requirements.lock
python -I -m pip install --no-deps --no-build-isolation -e .
