"""``sgt train``: post-train one run of a study."""

import argparse
import hashlib
import shutil
import time
from pathlib import Path

import torch

from sgt.atomic import atomic_dir, sha256, write_json
from sgt.data.dataset import open_dataset, open_targets
from sgt.data.mixture import Mixture, Source
from sgt.data.shards import MANIFEST, dataset_shards
from sgt.models.families import load_model
from sgt.revision import code_revision
from sgt.study.load import LoadedStudy, Run, load_study
from sgt.study.models import Model
from sgt.study.recipe import Recipe
from sgt.study.schema import ARM_WITHOUT_TRAINING
from sgt.training.examples import Maker, examples_of, proxy_maker, vqa_maker
from sgt.training.loop import Plan, train
from sgt.training.trainable import make_trainable


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
    about["command"] = args.command_line
    if run.arm == ARM_WITHOUT_TRAINING:
        record = {"checkpoint": str(base), "checkpoint_sha256": sha256(base / "ema.safetensors"), "steps": 0}
        write_json(study.run_dir(run) / "run.json", {**about, **record})
        return

    began = time.monotonic()
    recipe, folder = study.recipe(run.model, run.arm), study.run_dir(run)
    sources, makers = training_data(study, run, recipe)
    mixture = Mixture(sources, run.seed)
    model = load_model(spec, base)
    make_trainable(model, recipe, run.seed)
    weights = train(
        model,
        lambda step: examples_of(mixture, makers, step),
        plan_of(recipe, run, _fingerprint(study, run, spec, recipe, base)),
        folder / "work",
    )
    with atomic_dir(folder / "final") as final:
        model.save_checkpoint(final, weights)
    shutil.copyfile(folder / "work" / "metrics.jsonl", folder / "metrics.jsonl")
    record = {
        "checkpoint": str(folder / "final"),
        "checkpoint_sha256": sha256(folder / "final" / "ema.safetensors"),
        "base_sha256": sha256(base / "ema.safetensors"),
        "steps": recipe.steps,
        "seconds": round(time.monotonic() - began, 1),
        "recipe": recipe.model_dump(),
    }
    write_json(folder / "run.json", {**about, **record})


def training_data(study: LoadedStudy, run: Run, recipe: Recipe) -> tuple[list[Source], dict[str, Maker]]:
    """The sources of a run and how their samples become examples.

    Every trained arm has the VQA source with the same samples per step; a proxy arm has its proxy beside it.
    """
    proxy_share, vqa_share = recipe.ratio
    unit = recipe.batch // (proxy_share + vqa_share)
    questions = open_dataset(study.dataset_dir(study.study.data.vqa))
    sources = [Source("vqa", len(questions), unit * vqa_share)]
    makers = {"vqa": vqa_maker(questions)}
    if run.proxy:
        folder = study.dataset_dir(study.images(run.proxy))
        names = [shard.name for shard in dataset_shards(folder)]
        scenes, targets = open_targets(study.target_dir(run.proxy), open_dataset(folder), names)
        sources.insert(0, Source("proxy", len(scenes), unit * proxy_share))
        makers["proxy"] = proxy_maker(study.proxy(run.proxy), scenes, targets, run.seed, recipe.text_dropout)
    return sources, makers


def plan_of(recipe: Recipe, run: Run, fingerprint: str) -> Plan:
    """The loop's plan for a recipe."""
    return Plan(
        steps=recipe.steps,
        optimizer=recipe.optimizer,
        ce_weight=recipe.ce_weight,
        mse_weight=recipe.mse_weight,
        timestep_shift=recipe.timestep_shift,
        ema=recipe.ema,
        save_every=recipe.save_every,
        seed=run.seed,
        fingerprint=fingerprint,
    )


def _fingerprint(study: LoadedStudy, run: Run, spec: Model, recipe: Recipe, base: Path) -> str:
    """Of everything that decides a run's weights; save_every does not."""
    parts = [
        run.id,
        recipe.model_dump_json(exclude={"save_every"}),
        spec.model_dump_json(exclude={"predict", "pretrain"}),
        sha256(base / "ema.safetensors"),
        (study.dataset_dir(study.study.data.vqa) / MANIFEST).read_text(),
    ]
    if run.proxy:
        parts.append(study.proxy(run.proxy).options.model_dump_json())
        parts.append((study.dataset_dir(study.images(run.proxy)) / MANIFEST).read_text())
        parts += [sha256(path) for path in sorted(study.target_dir(run.proxy).glob("*.tar"))]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
