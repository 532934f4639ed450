"""``sgt train``: post-train one run of a study."""

import argparse
import hashlib
import time
from dataclasses import replace
from pathlib import Path

import torch

from sgt.atomic import atomic_dir, copy_file, sha256, write_json
from sgt.data.shards import MANIFEST
from sgt.environment import environment
from sgt.models.families import device_of, load_model, sizes_of, weights_sha256
from sgt.revision import code_revision
from sgt.study.load import LoadedStudy, Run, load_study
from sgt.study.models import Model
from sgt.study.recipe import WITHOUT_EFFECT, Recipe
from sgt.study.schema import ARM_WITHOUT_TRAINING
from sgt.study.watch import Watch
from sgt.training.estimate import flops_per_token
from sgt.training.loop import Plan, Training
from sgt.training.sharding import shard, whole_weights
from sgt.training.sources import training_sources, validation_supplies
from sgt.training.stream import Stream
from sgt.training.trainable import make_trainable
from sgt.training.validation import Validation
from sgt.training.world import World, join_world, leave_world


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt train``."""
    parser.add_argument("study", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--arm", required=True)
    parser.add_argument("--seed", type=int, required=True)


def run(args: argparse.Namespace) -> None:
    """Train, then write ``final/`` and, last, ``run.json``. The arm ``base`` only points at the base weights."""
    study = load_study(args.study)
    run = study.run(args.model, args.arm, args.seed)
    spec = study.models[run.model]
    torch.set_num_threads(spec.train.threads)
    base = Path(spec.checkpoint)
    about = {"id": run.id, "model": run.model, "arm": run.arm, "seed": run.seed, "code": code_revision()}
    about |= {"environment": environment(), "command": args.command_line}
    if run.arm == ARM_WITHOUT_TRAINING:
        record = {"checkpoint": str(base), "checkpoint_sha256": weights_sha256(spec, base), "steps": 0}
        write_json(study.run_dir(run) / "run.json", {**about, **record})
        return
    world = join_world(device_of(spec))
    record = post_train(study, run, spec, base, world)
    if world.is_main:
        write_json(study.run_dir(run) / "run.json", {**about, **record})
    leave_world(world)


def post_train(study: LoadedStudy, run: Run, spec: Model, base: Path, world: World) -> dict:
    """Train a run to its end and write ``final/``; returns what ``run.json`` tells of it.

    Raises:
        SgtError: see :meth:`Training.run`; or the samples of a step cannot be dealt to the processes.
    """
    began = time.monotonic()
    recipe, folder = study.recipe(run.model, run.arm), study.run_dir(run)
    sources = training_sources(study, run, recipe)
    # Hashed once, and by one process: the files of a 7B model take half a minute.
    base_sha256 = weights_sha256(spec, base) if world.is_main else ""
    fingerprint = world.gathered(_fingerprint(study, run, spec, recipe, base_sha256) if world.is_main else "")[0]
    model = load_model(spec, base, recipe.precision, world.device)
    make_trainable(model, recipe, run.seed, makes_images=run.proxy is not None)
    shard(model.network, model.blocks, world, torch.bfloat16 if model.autocast else None)
    stream = Stream(model, sources.mixture, sources.supplies, run.seed, recipe.max_tokens, world)
    plan = plan_of(recipe, run, sources.steps, fingerprint, study.study.watch)
    sizes = sizes_of(spec)
    if sizes:
        plan = replace(plan, flops_per_token=flops_per_token(spec, sizes, recipe))
    held_out = validation_supplies(study, run, recipe)
    validate = held_out and Validation(
        model,
        held_out,
        recipe.validate_samples,
        max(1, recipe.samples[1]),
        recipe.timestep_shift,
        recipe.max_tokens,
        world,
    )
    average = Training(model, stream, plan, folder / "work", world, validate or None).run()
    weights = whole_weights(model.network, average, world)
    record = {"steps": sources.steps, "processes": world.size, "recipe": recipe.model_dump()}
    if world.is_main:
        with atomic_dir(folder / "final") as final:
            model.save_checkpoint(final, weights)
        copy_file(folder / "work" / "metrics.jsonl", folder / "metrics.jsonl")
        record |= {
            "checkpoint": str(folder / "final"),
            "checkpoint_sha256": weights_sha256(spec, folder / "final"),
            "base_sha256": base_sha256,
            "seconds": round(time.monotonic() - began, 1),
        }
    return record


def plan_of(recipe: Recipe, run: Run, steps: int, fingerprint: str, watch: Watch) -> Plan:
    """The loop's plan for a recipe."""
    return Plan(
        run=run.id,
        steps=steps,
        optimizer=recipe.optimizer,
        ce_weight=recipe.ce_weight,
        mse_weight=recipe.flow_weight,
        timestep_shift=recipe.timestep_shift,
        ema=recipe.ema,
        save_every=recipe.save_every,
        keep=recipe.keep,
        validate_every=recipe.validate_every,
        seed=run.seed,
        fingerprint=fingerprint,
        watch=watch,
    )


def _fingerprint(study: LoadedStudy, run: Run, spec: Model, recipe: Recipe, base_sha256: str) -> str:
    """Of everything that decides a run's weights."""
    parts = [
        run.id,
        recipe.model_dump_json(exclude=WITHOUT_EFFECT),
        spec.model_dump_json(exclude={"predict", "pretrain"}),
        base_sha256,
        (study.dataset_dir(study.study.data.vqa) / MANIFEST).read_text(),
    ]
    if run.proxy:
        parts.append(study.proxy(run.proxy).options.model_dump_json())
        parts.append((study.dataset_dir(study.images(run.proxy)) / MANIFEST).read_text())
        parts += [sha256(path) for path in sorted(study.target_dir(run.proxy).glob("*.tar"))]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
