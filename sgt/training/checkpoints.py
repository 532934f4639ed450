"""Resumable checkpoints: whole or absent, verified before use, safetensors only, for any number of processes.

A checkpoint is a folder ``step-NNNNNNN`` with files of three kinds: ``weights`` (those that are trained), ``optimizer``
and, if there is one, ``average``. Each process writes one of each (``weights-00000-of-00002.safetensors``) with the
rows it holds, so a tensor is its parts, one after another in the order of the files; it can be read again by another
number of processes. ``state.json`` is the manifest, written last, with the step, a fingerprint of what is being
trained, and the hash of every file. Data order and every random draw are pure functions of (seed, step), so the step
is the position of the mixture and of all generators.
"""

import json
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import nn

from sgt.atomic import flush, save_tensors, sha256, write_json
from sgt.errors import SgtError
from sgt.training.configurations import (
    MANIFEST,
    make_way,
    remove_checkpoint,
    remove_unfinished,
    saved_checkpoints,
)
from sgt.training.optimizer import WeightAverage
from sgt.training.sharded_safetensors import opened, part_name
from sgt.training.sharding import first_row, local
from sgt.training.world import World

log = logging.getLogger("sgt")
MOMENTS = ("exp_avg", "exp_avg_sq")


class Checkpoints:
    """The checkpoints of one run.

    Args:
        work: folder they lie in, which all processes see.
        fingerprint: of data and configuration; a checkpoint with another one is set aside.
        keep: how many of the newest are kept.
        world: the processes.
    """

    def __init__(self, work: Path, fingerprint: str, keep: int, world: World) -> None:
        self.work, self.fingerprint, self.keep, self.world = work, fingerprint, keep, world

    def save(
        self,
        step: int,
        parameters: dict[str, nn.Parameter],
        optimizer: torch.optim.Optimizer,
        average: WeightAverage | None,
    ) -> None:
        """Write the checkpoint of ``step`` finished steps and delete all but the newest ones.

        Raises:
            SgtError: it could not be written; the checkpoints before it are as they were.
        """
        folder = self.work / step_folder(step)
        temporary = self.work / f".{folder.name}.tmp"
        hashes, problem = {}, None
        try:
            if self.world.is_main:
                shutil.rmtree(temporary, ignore_errors=True)
                temporary.mkdir(parents=True)
            self.world.gathered(None)
            hashes = self._write(temporary, parameters, optimizer, average)
        except (OSError, SafetensorError) as error:
            problem = str(error)
        told = self.world.gathered((hashes, problem))
        problem = next((problem for _, problem in told if problem), None)
        if problem is None and self.world.is_main:
            merged = {name: digest for part, _ in told for name, digest in part.items()}
            problem = self._publish(temporary, folder, step, merged)
        problem = self.world.gathered(problem)[0]
        if problem:
            if self.world.is_main:
                shutil.rmtree(temporary, ignore_errors=True)
            have = next((path.name for path in saved_checkpoints(self.work)), "none")
            remedy = f"make room or mend it and run the command again: it goes on from the last good one ({have})"
            raise SgtError(folder, f"the checkpoint cannot be written ({problem})", remedy)

    def load(
        self,
        parameters: dict[str, nn.Parameter],
        optimizer: torch.optim.Optimizer,
        average: WeightAverage | None,
    ) -> int:
        """Restore the newest good checkpoint; a damaged one is passed over with its reason in the log.

        Returns:
            The number of steps already done; 0 if there is nothing to resume.

        Raises:
            OSError: those of other configurations cannot be set aside.
        """
        if self.world.is_main:
            remove_unfinished(self.work)
            make_way(self.work, self.fingerprint)
        for folder in self.world.gathered(saved_checkpoints(self.work))[0]:
            faults = self.world.gathered(self._fault(folder, parameters, average is not None))
            fault = next((fault for fault in faults if fault), None)
            if fault:
                if self.world.is_main:
                    log.warning("%s: %s; trying the one before it", folder, fault)
                continue
            self._read(folder, parameters, optimizer, average)
            if self.world.is_main:
                log.info("resuming from %s", folder)
            return json.loads((folder / MANIFEST).read_text())["step"]
        return 0

    def _write(
        self,
        folder: Path,
        parameters: dict[str, nn.Parameter],
        optimizer: torch.optim.Optimizer,
        average: WeightAverage | None,
    ) -> dict[str, str]:
        """Write this process's files; returns their hashes."""
        groups = {"weights": {name: parameter.detach() for name, parameter in parameters.items()}}
        states = {name: optimizer.state.get(parameter, {}) for name, parameter in parameters.items()}
        groups["optimizer"] = {f"{key}.{name}": value for name, state in states.items() for key, value in state.items()}
        if average:
            groups["average"] = average.weights
        hashes = {}
        for group, tensors in groups.items():
            path = folder / part_name(group, self.world.rank, self.world.size)
            mine = {
                name: local(value).contiguous()
                for name, value in tensors.items()
                if self.world.is_main or self._is_spread(name, parameters)
            }
            save_tensors(path, mine)
            flush(path)
            hashes[path.name] = sha256(path)
        return hashes

    def _publish(self, temporary: Path, folder: Path, step: int, hashes: dict[str, str]) -> str | None:
        """Complete the checkpoint and take old ones away; returns what went wrong."""
        state = {"step": step, "fingerprint": self.fingerprint, "processes": self.world.size, "sha256": hashes}
        try:
            write_json(temporary / MANIFEST, state)
            flush(temporary)
            if folder.exists():
                shutil.rmtree(folder)
            temporary.rename(folder)
            flush(self.work)
            # Those of later steps are damaged: they were passed over.
            saved = saved_checkpoints(self.work)
            kept = [other for other in saved if other.name <= folder.name][: self.keep]
            for other in saved:
                if other not in kept:
                    remove_checkpoint(other)
        except OSError as error:
            return str(error)
        return None

    def _read(
        self,
        folder: Path,
        parameters: dict[str, nn.Parameter],
        optimizer: torch.optim.Optimizer,
        average: WeightAverage | None,
    ) -> None:
        with torch.no_grad(), opened(folder, "weights") as weights, opened(folder, "optimizer") as moments:
            for name, parameter in parameters.items():
                rows = first_row(parameter, self.world), len(local(parameter))
                local(parameter).copy_(weights.rows(name, *rows))
                # A parameter that never had a gradient has no moments.
                if f"step.{name}" in moments:
                    state = {key: torch.zeros_like(parameter) for key in MOMENTS}
                    for key, value in state.items():
                        local(value).copy_(moments.rows(f"{key}.{name}", *rows))
                    state["step"] = moments.all(f"step.{name}").to(parameter.device)
                    optimizer.state[parameter] = state
        if average:
            with opened(folder, "average") as averages:
                for name, value in average.weights.items():
                    value.copy_(averages.rows(name, first_row(parameters[name], self.world), len(value)))

    def _fault(self, folder: Path, parameters: dict[str, nn.Parameter], averaged: bool) -> str | None:
        """Why a checkpoint cannot be used, or None; each process looks at its share of the files."""
        try:
            state = json.loads((folder / MANIFEST).read_text())
            if state["fingerprint"] != self.fingerprint:
                return "belongs to other data or another configuration"
            if step_folder(state["step"]) != folder.name:
                return f"incomplete: its manifest is of step {state['step']}"
            files = sorted(state["sha256"].items())
            groups = ("weights", "optimizer", "average") if averaged else ("weights", "optimizer")
            wanted = {
                part_name(group, rank, state["processes"]) for group in groups for rank in range(state["processes"])
            }
            if wanted != dict(files).keys():
                return f"incomplete: it lists {', '.join(sorted(dict(files)))}"
            for name, digest in files[self.world.rank :: self.world.size]:
                if sha256(folder / name) != digest:
                    return f"{name} is damaged"
            missing = _missing(folder, groups, parameters)
            if missing:
                return f"incomplete: no {missing[0]}"
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            return f"incomplete ({error})"
        return None

    def _is_spread(self, name: str, parameters: dict[str, nn.Parameter]) -> bool:
        """Whether every process has rows of its own of a tensor (a step count is the same in all)."""
        owner = parameters.get(name) if name in parameters else parameters.get(name.partition(".")[2])
        return owner is not None and local(owner) is not owner and not name.startswith("step.")


def _missing(folder: Path, groups: Sequence[str], parameters: dict[str, nn.Parameter]) -> list[str]:
    """Tensors that a checkpoint should hold and does not."""
    missing = []
    for group in groups:
        with opened(folder, group) as parts:
            if group == "optimizer":
                moved = [name for name in parameters if f"step.{name}" in parts]
                wanted = [f"{key}.{name}" for name in moved for key in MOMENTS]
            else:
                wanted = list(parameters)
            missing += [name for name in wanted if name not in parts]
    return missing


def step_folder(step: int) -> str:
    """Name of the checkpoint of so many finished steps."""
    return f"step-{step:07d}"
