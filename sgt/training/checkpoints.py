"""Resumable checkpoints: whole or absent, verified before use, safetensors only, for any number of processes.

A checkpoint is a folder ``step-NNNNNNN`` with three groups of files: ``weights`` (the trained ones), ``optimizer`` and,
if there is one, ``average``. In each group every process writes one file (``weights-00000-of-00002.safetensors``) with
the rows of the tensors that it holds. The files of a group in order are thus the tensors' rows in order, and any other
number of processes can read them. ``state.json`` is the manifest: the step, a fingerprint of data and configuration,
and the hash of every file; it is written last. Data order and every random draw are pure functions of (seed, step), so
the step also restores the position in the data and the random generators.
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
    remove_checkpoint,
    remove_unfinished,
    saved_checkpoints,
    switch_configuration,
)
from sgt.training.distributed import DistributedContext
from sgt.training.optimizer import WeightAverage
from sgt.training.sharded_safetensors import open_sharded, shard_file
from sgt.training.sharding import first_row, local_rows

log = logging.getLogger("sgt")
MOMENTS = ("exp_avg", "exp_avg_sq")


class Checkpoints:
    """The checkpoints of one run.

    Args:
        work: their folder, on a file system that all processes share.
        fingerprint: of data and configuration; a checkpoint with another one is set aside.
        keep_last: how many of the newest are kept.
        context: the processes.
    """

    def __init__(self, work: Path, fingerprint: str, keep_last: int, context: DistributedContext) -> None:
        self.work, self.fingerprint, self.keep_last, self.context = work, fingerprint, keep_last, context

    def save(
        self,
        step: int,
        parameters: dict[str, nn.Parameter],
        optimizer: torch.optim.Optimizer,
        average: WeightAverage | None,
    ) -> None:
        """Write the checkpoint after ``step`` steps and delete all but the newest ones.

        Raises:
            SgtError: it cannot be written; earlier checkpoints are left as they are.
        """
        folder = self.work / step_folder(step)
        temporary = self.work / f".{folder.name}.tmp"
        problem = self.context.all_gather(_make_empty(temporary) if self.context.is_main else None)[0]
        if problem is None:
            hashes: dict[str, str] = {}
            try:
                hashes = self._write(temporary, parameters, optimizer, average)
            except (OSError, SafetensorError) as error:
                problem = str(error)
            written = self.context.all_gather((hashes, problem))
            problem = next((problem for _, problem in written if problem), None)
            if problem is None and self.context.is_main:
                merged = {name: digest for hashes, _ in written for name, digest in hashes.items()}
                problem = self._publish(temporary, folder, step, merged)
            problem = self.context.all_gather(problem)[0]
        if problem:
            if self.context.is_main:
                shutil.rmtree(temporary, ignore_errors=True)
            newest = next((path.name for path in saved_checkpoints(self.work)), "none")
            remedy = f"free some space or fix the cause, and run again: it resumes from the last good one ({newest})"
            raise SgtError(folder, f"the checkpoint cannot be written ({problem})", remedy)

    def load(
        self,
        parameters: dict[str, nn.Parameter],
        optimizer: torch.optim.Optimizer,
        average: WeightAverage | None,
    ) -> int:
        """Restore the newest good checkpoint; damaged ones are skipped, and the reason is logged.

        Returns:
            The number of steps already done; 0 if there is nothing to resume from.

        Raises:
            OSError: checkpoints of other configurations cannot be set aside.
        """
        if self.context.is_main:
            remove_unfinished(self.work)
            switch_configuration(self.work, self.fingerprint)
        for folder in self.context.all_gather(saved_checkpoints(self.work))[0]:
            faults = self.context.all_gather(self._fault(folder, parameters, average is not None))
            fault = next((fault for fault in faults if fault), None)
            if fault:
                if self.context.is_main:
                    log.warning("%s: %s; trying the one before it", folder, fault)
                continue
            self._read(folder, parameters, optimizer, average)
            if self.context.is_main:
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
            path = folder / shard_file(group, self.context.rank, self.context.size)
            own = {
                name: local_rows(value).contiguous()
                for name, value in tensors.items()
                if self.context.is_main or self._is_sharded(name, parameters)
            }
            save_tensors(path, own)
            flush(path)
            hashes[path.name] = sha256(path)
        return hashes

    def _publish(self, temporary: Path, folder: Path, step: int, hashes: dict[str, str]) -> str | None:
        """Complete the checkpoint and delete old ones; returns what went wrong."""
        state = {"step": step, "fingerprint": self.fingerprint, "processes": self.context.size, "sha256": hashes}
        try:
            write_json(temporary / MANIFEST, state)
            flush(temporary)
            if folder.exists():
                shutil.rmtree(folder)
            temporary.rename(folder)
            flush(self.work)
            # Checkpoints of later steps are damaged: they were skipped when this run resumed.
            saved = saved_checkpoints(self.work)
            kept = [other for other in saved if other.name <= folder.name][: self.keep_last]
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
        with torch.no_grad(), open_sharded(folder, "weights") as weights, open_sharded(folder, "optimizer") as moments:
            for name, parameter in parameters.items():
                rows = first_row(parameter, self.context), len(local_rows(parameter))
                local_rows(parameter).copy_(weights.rows(name, *rows))
                # A parameter that has never had a gradient has no moments.
                if f"step.{name}" in moments:
                    state = {key: torch.zeros_like(parameter) for key in MOMENTS}
                    for key, value in state.items():
                        local_rows(value).copy_(moments.rows(f"{key}.{name}", *rows))
                    state["step"] = moments.whole(f"step.{name}").to(parameter.device)
                    optimizer.state[parameter] = state
        if average:
            with open_sharded(folder, "average") as averages:
                for name, value in average.weights.items():
                    value.copy_(averages.rows(name, first_row(parameters[name], self.context), len(value)))

    def _fault(self, folder: Path, parameters: dict[str, nn.Parameter], averaged: bool) -> str | None:
        """Why a checkpoint cannot be used, or None; each process verifies its share of the files."""
        try:
            state = json.loads((folder / MANIFEST).read_text())
            if state["fingerprint"] != self.fingerprint:
                return "belongs to other data or another configuration"
            if step_folder(state["step"]) != folder.name:
                return f"incomplete: its manifest is of step {state['step']}"
            files = sorted(state["sha256"].items())
            groups = ("weights", "optimizer", "average") if averaged else ("weights", "optimizer")
            expected = {
                shard_file(group, rank, state["processes"]) for group in groups for rank in range(state["processes"])
            }
            if expected != dict(files).keys():
                return f"incomplete: it lists {', '.join(sorted(dict(files)))}"
            for name, digest in files[self.context.rank :: self.context.size]:
                if sha256(folder / name) != digest:
                    return f"{name} is damaged"
            missing = _missing(folder, groups, parameters)
            if missing:
                return f"incomplete: no {missing[0]}"
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            return f"incomplete ({error})"
        return None

    def _is_sharded(self, name: str, parameters: dict[str, nn.Parameter]) -> bool:
        """Whether every process holds other rows of a tensor. (A step count is the same in all.)"""
        owner = parameters.get(name) if name in parameters else parameters.get(name.partition(".")[2])
        return owner is not None and local_rows(owner) is not owner and not name.startswith("step.")


def _make_empty(folder: Path) -> str | None:
    """Make an empty folder, in place of one that a killed process has left; returns what went wrong."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    except OSError as error:
        return str(error)
    return None


def _missing(folder: Path, groups: Sequence[str], parameters: dict[str, nn.Parameter]) -> list[str]:
    """Tensors that are missing from a checkpoint."""
    missing = []
    for group in groups:
        with open_sharded(folder, group) as tensors:
            if group == "optimizer":
                updated = [name for name in parameters if f"step.{name}" in tensors]
                expected = [f"{key}.{name}" for name in updated for key in MOMENTS]
            else:
                expected = list(parameters)
            missing += [name for name in expected if name not in tensors]
    return missing


def step_folder(step: int) -> str:
    """Name of the checkpoint after ``step`` steps."""
    return f"step-{step:07d}"
