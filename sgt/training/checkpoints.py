"""Resumable checkpoints: whole or absent, verified before use, safetensors only.

A checkpoint is a folder ``step-NNNNNNN`` with weights, optimizer state and (if there is one) the weight average;
``state.json`` is its manifest with the step, a fingerprint of what is being trained, and the hash of each file. Data
order and every random draw are pure functions of (seed, step), so no generator state has to be kept.
"""

import json
import logging
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from sgt.atomic import atomic_dir, sha256, write_json
from sgt.training.optimizer import WeightAverage

log = logging.getLogger("sgt")
KEEP = 2
MOMENTS = ("step", "exp_avg", "exp_avg_sq")


def save_progress(
    work: Path,
    step: int,
    fingerprint: str,
    parameters: dict[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    average: WeightAverage | None,
) -> None:
    """Write the checkpoint of ``step`` finished steps and delete all but the newest ones."""
    names = {id(parameter): name for name, parameter in parameters.items()}
    moments = {
        f"{key}.{names[id(parameter)]}": value
        for parameter, state in optimizer.state.items()
        for key, value in state.items()
    }
    files = {"weights": {name: parameter.detach() for name, parameter in parameters.items()}, "optimizer": moments}
    if average:
        files["average"] = average.weights
    with atomic_dir(work / f"step-{step:07d}") as folder:
        hashes = {}
        for name, tensors in files.items():
            save_file({key: value.contiguous() for key, value in tensors.items()}, folder / f"{name}.safetensors")
            hashes[f"{name}.safetensors"] = sha256(folder / f"{name}.safetensors")
        write_json(folder / "state.json", {"step": step, "fingerprint": fingerprint, "sha256": hashes})
    # Those of later steps are another run's: this one has not been there.
    own = [folder for folder in _saved(work) if folder.name <= f"step-{step:07d}"]
    for folder in _saved(work):
        if folder not in own[:KEEP]:
            shutil.rmtree(folder)


def load_progress(
    work: Path,
    fingerprint: str,
    parameters: dict[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    average: WeightAverage | None,
) -> int:
    """Restore the newest good checkpoint; a damaged or foreign one is passed over with its reason in the log.

    Returns:
        The number of steps already done; 0 if there is nothing to resume.
    """
    for folder in _saved(work):
        reason = _fault(folder, fingerprint)
        if reason:
            log.warning("%s: %s; trying the one before it", folder, reason)
            continue
        weights = load_file(folder / "weights.safetensors")
        moments = load_file(folder / "optimizer.safetensors")
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(weights[name])
                # A parameter that had no gradient yet has no moments (the generation expert of sft).
                if f"step.{name}" in moments:
                    optimizer.state[parameter] = {key: moments[f"{key}.{name}"] for key in MOMENTS}
        if average:
            average.load(load_file(folder / "average.safetensors"))
        step = json.loads((folder / "state.json").read_text())["step"]
        log.info("resuming from %s", folder)
        return step
    return 0


def _saved(work: Path) -> list[Path]:
    return sorted(work.glob("step-*"), reverse=True)


def _fault(folder: Path, fingerprint: str) -> str | None:
    """Why a checkpoint cannot be used, or None."""
    try:
        state = json.loads((folder / "state.json").read_text())
        if state["fingerprint"] != fingerprint:
            return "belongs to other data or another configuration"
        for name, digest in state["sha256"].items():
            if sha256(folder / name) != digest:
                return f"{name} is damaged"
    except (OSError, ValueError, KeyError) as error:
        return f"incomplete ({error})"
    return None
