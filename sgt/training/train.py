"""Post-training one run of a study."""

import logging
import os
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch

from sgt.atomic import sha256
from sgt.config.models import Model
from sgt.config.recipe import Recipe
from sgt.config.study import ARM_WITHOUT_TRAINING
from sgt.environment import environment
from sgt.errors import SgtError
from sgt.identity import UNKNOWN, Identity, digest, write_record
from sgt.lock import locked
from sgt.models.estimate import flops_per_token
from sgt.models.registry import describe_device, device_of, load_model, sizes_of, weight_hashes, weights_sha256
from sgt.models.trainable import Trainable
from sgt.revision import code_revision
from sgt.study.identity import base_content, run_identity
from sgt.study.loaded import LoadedStudy
from sgt.study.results import Results, require_current
from sgt.study.runs import Run
from sgt.training.batch_loader import BatchLoader
from sgt.training.callbacks.callback import Callback
from sgt.training.callbacks.checkpointing import Checkpointing
from sgt.training.callbacks.image_use import ImageUse
from sgt.training.callbacks.recorders import recorders
from sgt.training.callbacks.speed import ConsoleProgress, SpeedMonitor
from sgt.training.callbacks.validation import Validation
from sgt.training.distributed import (
    DistributedContext,
    init_distributed,
    processes_of_node,
    shutdown_distributed,
)
from sgt.training.finished import final_weights, finish, is_finished, remove_resumable
from sgt.training.sharding import full_weights, shard
from sgt.training.sources import (
    held_out_proxy_source,
    screen_data,
    training_data,
    training_datasets,
    validation_sources,
)
from sgt.training.trainable import make_trainable
from sgt.training.trainer import Trainer, TrainerConfig

log = logging.getLogger("sgt")


def train_run(study: LoadedStudy, run: Run, command: str) -> None:
    """Train a run, write ``final/`` and ``run.json``, and remove its checkpoints; a finished run is left as it is.

    For the arm ``base``, ``run.json`` only names the base weights.

    Args:
        study, run: what to train.
        command: the command line, for the record.

    Raises:
        SgtError: another process is training the run; or see :func:`post_train`.
    """
    spec = study.models[run.model]
    torch.set_num_threads(max(1, spec.train.threads // processes_of_node()))
    base = Path(spec.checkpoint)
    common = {"id": run.id, "model": run.model, "arm": run.arm, "seed": run.seed, "code": code_revision()}
    common["environment"] = environment()
    if run.arm == ARM_WITHOUT_TRAINING:
        # The hash of all files that are read: the same weights with another VAE are another base.
        identity = _identity_of(study, run)
        record = {"identity": identity, "checkpoint": str(base), "checkpoint_sha256": identity["base"], "steps": 0}
        write_record(study.run_dir(run) / "run.json", {**common, "command": command, **record})
        return
    context, folder = init_distributed(device_of(spec)), study.run_dir(run)
    common["command"] = launch_command(command, context)
    with _locked(folder / "work" / "lock", run, context):
        # In one process for all: hashing the files of a 7B model takes half a minute, screening its data minutes.
        identity = context.broadcast_from_main(lambda: _identity_of(study, run))
        if context.all_gather(context.is_main and is_finished(folder, spec, identity))[0]:
            if context.is_main:
                log.info("%s: already finished; to train it again, delete %s", run.id, folder)
        else:
            record = post_train(study, run, spec, base, digest(identity), context)
            if context.is_main:
                finish(folder, {**common, "identity": identity, **record})
        if context.is_main:
            remove_resumable(folder, digest(identity))
    shutdown_distributed(context)


def launch_command(command: str, context: DistributedContext) -> str:
    """The command that starts all processes of a run; that of each of them, by itself, would train in one."""
    if context.size == 1:
        return command
    of_node = int(os.environ["LOCAL_WORLD_SIZE"])
    counts = f"--nodes {context.size // of_node} --processes {of_node}"
    return command.replace("sgt train ", f"sgt launch {counts} train ", 1)


@contextmanager
def _locked(lock: Path, run: Run, context: DistributedContext) -> Iterator[None]:
    """Hold a run's lock, in the main process for all of them.

    Raises:
        SgtError: the run is being trained already; raised in all processes.
    """
    with ExitStack() as stack:
        context.broadcast_from_main(lambda: stack.enter_context(locked(lock, run.id, "is being trained")))
        yield


def post_train(
    study: LoadedStudy, run: Run, spec: Model, base: Path, fingerprint: str, context: DistributedContext
) -> dict:
    """Train a run to its end and write ``final/``; returns its part of ``run.json``.

    Raises:
        SgtError: see :meth:`Trainer.fit`.
    """
    began = time.monotonic()
    recipe, folder = study.recipe(run.model, run.arm), study.run_dir(run)
    if context.size > 1:
        # In the main process first: the others then read the index that it leaves beside large shards.
        context.broadcast_from_main(lambda: len(training_data(study, run, recipe).sources))
    data = training_data(study, run, recipe)
    model = load_model(spec, base, recipe.precision, context.device)
    make_trainable(model, recipe, run.seed, makes_images=run.proxy is not None)
    shard(model.network, model.blocks, context, torch.bfloat16 if model.autocast else None)
    loader = BatchLoader(model, data.mixture, data.sources, run.seed, recipe.max_tokens_per_pack, context)
    config = trainer_config(recipe, run, data.steps)
    callbacks = _callbacks(study, run, recipe, model, fingerprint, context)
    average = Trainer(model, loader, config, folder / "work", context, callbacks).fit()
    weights = full_weights(model.network, average, context)
    record = {"steps": data.steps, "processes": context.size, "recipe": recipe.model_dump()}
    record["device"] = describe_device(context.device)
    if context.is_main:
        with final_weights(folder) as final:
            model.save_checkpoint(final, weights)
        files = weight_hashes(spec, folder / "final")
        record |= {
            "checkpoint": str(folder / "final"),
            "checkpoint_sha256": weights_sha256(files),
            "files": files,
            "other_files": _other_files(folder / "final", files),
            "seconds": round(time.monotonic() - began, 1),
        }
    return record


def _other_files(final: Path, weights: Collection[str]) -> dict[str, str]:
    """SHA-256 of each file of a checkpoint besides its weights (configuration, tokenizer, VAE), by its path in it."""
    paths = {str(path.relative_to(final)): path for path in sorted(final.rglob("*")) if path.is_file()}
    return {name: sha256(path) for name, path in paths.items() if name not in weights}


def trainer_config(recipe: Recipe, run: Run, steps: int) -> TrainerConfig:
    """The options of the training loop for a recipe."""
    return TrainerConfig(
        run=run.id,
        steps=steps,
        optimizer=recipe.optimizer,
        ce_weight=recipe.ce_weight,
        mse_weight=recipe.flow_weight,
        timestep_shift=recipe.timestep_shift,
        ema=recipe.ema,
        seed=run.seed,
        lr_scale=recipe.lr_scale,
    )


def _callbacks(
    study: LoadedStudy, run: Run, recipe: Recipe, model: Trainable, fingerprint: str, context: DistributedContext
) -> list[Callback]:
    """The callbacks of a run in this process; only the main process writes metrics."""
    callbacks: list[Callback] = [Checkpointing(fingerprint, recipe.save_every, recipe.keep_last)]
    held_out = validation_sources(study, run, recipe)
    if held_out:
        callbacks.append(
            Validation(
                model,
                held_out,
                recipe.validate_every,
                recipe.validate_samples,
                # Not found by trying what fits: the batch size changes the losses' last bits.
                max(1, recipe.samples[1]),
                recipe.timestep_shift,
                recipe.max_tokens_per_pack,
                context,
            )
        )
    shown = held_out_proxy_source(study, run)
    if shown and min(shown.size, recipe.validate_samples) > 1:
        # Packs bound what is computed at once, and a single example always fits one.
        batch = 1 if recipe.max_tokens_per_pack else max(1, recipe.samples[1] // context.size)
        callbacks.append(ImageUse(model, shown, recipe.validate_every, recipe.validate_samples, batch, context))
    spec = study.models[run.model]
    sizes = sizes_of(spec)
    callbacks.append(SpeedMonitor(flops_per_token(spec, sizes, recipe) if sizes else 0.0))
    if context.is_main:
        work = study.run_dir(run) / "work"
        callbacks += [*recorders(study.study.logging, work, run.id, fingerprint), ConsoleProgress()]
    return callbacks


def _identity_of(study: LoadedStudy, run: Run) -> Identity:
    """What decides a run's weights, after checking that its inputs exist, are current, and are screened.

    Raises:
        SgtError: base weights, data or targets are missing, data or targets are outdated, or more samples are unusable
            than the study allows.
    """
    spec = study.models[run.model]
    if base_content(spec) == UNKNOWN:
        remedy = f"`make study STUDY={study.path}` fetches those that are published; or correct the model's file"
        raise SgtError(spec.checkpoint, "has no weights", remedy)
    if run.arm != ARM_WITHOUT_TRAINING:
        results = Results(study)
        targets = results.targets(run.proxy) if run.proxy else []
        require_current(*(results.dataset(name) for name in training_datasets(study, run)), *targets)
        screen_data(study, run)
    return run_identity(study, run)
