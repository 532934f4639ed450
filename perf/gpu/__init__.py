"""What training and inference cost on one GPU, measured by one command on a machine that has only Python and torch.

Run from the repository root, unattended, in less than ten minutes::

    python -m perf.gpu

It needs torch (from 2.11 on), transformers, safetensors, tokenizers, pillow, numpy, scipy, pydantic and pyyaml, and no
file beyond this repository. Every step is a process of its own with a time limit; what it measured before it was
stopped is kept. ``build/perf-gpu`` gets ``results.json`` and ``results.md``, which are written again after each step.
"""

from perf.gpu.command import main

__all__ = ["main"]
