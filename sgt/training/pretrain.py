"""Pretraining a small base model from scratch: on questions, and on images from captions and from images."""

import hashlib
import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from sgt.atomic import atomic_dir, copy_file, sha256, write_json
from sgt.config.models import Model, Pretrain
from sgt.data.dataset import ShardDataset, open_dataset
from sgt.data.images import image_of
from sgt.data.manifest import MANIFEST, read_manifest
from sgt.data.mixture import Mixed, Source
from sgt.errors import SgtError
from sgt.json_files import read_json
from sgt.models.family import family_of
from sgt.models.registry import create_model, load_model, target_transform, vae_sha256
from sgt.models.rules import model_identity
from sgt.models.tokenizer import VOCABULARY, train_tokenizer
from sgt.models.vae import VAE
from sgt.study.load import load_model_spec
from sgt.study.loaded import LoadedStudy
from sgt.training.autoencoder import train_vae
from sgt.training.batch_loader import BatchLoader
from sgt.training.callbacks.checkpointing import Checkpointing
from sgt.training.callbacks.recorders import recorders
from sgt.training.callbacks.speed import ConsoleProgress, SpeedMonitor
from sgt.training.callbacks.tower import TowerMonitor
from sgt.training.curve import write_curve
from sgt.training.examples import (
    SHARPEN_PROMPT,
    caption_source,
    edit_source,
    instruction_of,
    sharpen_source,
    vqa_source,
)
from sgt.training.trainer import Trainer, TrainerConfig

log = logging.getLogger("sgt")
TOKENIZER_SAMPLES = 1000
TEXT_DROPOUT = 0.1
# The tokenizer's training texts have each of the family's prompt texts once per so many other texts.
PROMPT_TEXT_SHARE = 10
RECORD, IDENTITY = "run.json", "identity.json"
OF_VAE = {"vae_steps", "vae_batch", "vae_lr"}
# The VAE and the dataset count by their contents; the others do not change the weights.
WITHOUT_EFFECT = {"vae_of", "dataset", "save_every", "health_every", "accept"}
# Images of the pretraining dataset, from its start, that the vision tower is measured on.
HEALTH_IMAGES = 64


def pretrain(study: LoadedStudy, spec: Model, out: Path, seed: int) -> None:
    """Train tokenizer, VAE and network; write ``final/`` in the official layout and then ``run.json``.

    Stages that an earlier call finished are reused if nothing that decides their result has changed.

    Args:
        study: for the dataset, and the arms whose prompts the tokenizer is trained on.
        spec: a model with a pretrain recipe.
        out: folder for ``final/`` and, meanwhile, ``work/``.
        seed: of every random draw.

    Raises:
        SgtError: the dataset, or the checkpoint whose VAE is reused, is missing.
    """
    (recipe, architecture), work = _recipe_of(spec), out / "work"
    identity = pretrain_identity(study, spec, seed)
    if _is_finished(out, identity):
        log.info("%s: already finished, and nothing that decides it has changed", out)
        return
    # The record must not outlive the weights that it describes.
    (out / RECORD).unlink(missing_ok=True)
    work.mkdir(parents=True, exist_ok=True)
    dataset = open_dataset(study.dataset_dir(recipe.dataset))

    family = family_of(spec.family)
    texts = _texts(dataset, study)
    texts += [text for text in family.prompt_texts for _ in range(len(texts) // PROMPT_TEXT_SHARE)]
    tokenizer = train_tokenizer(texts, family.special_tokens, VOCABULARY)
    if recipe.vae_of:
        owner = load_model_spec(recipe.vae_of, study.path.parent / "models")
        vae = _vae_of(owner, spec.name, architecture["vae"])
    else:
        sizes, saved = architecture["vae"], work / "vae.safetensors"
        vae = train_vae(sizes, recipe, dataset, target_transform(spec), seed, saved, _digest(identity["vae"]))
    start = {stage: identity[stage] for stage in ("vae", "start")}
    if _read_record(work / "start" / IDENTITY) != start:
        with atomic_dir(work / "start") as folder:
            create_model(spec, tokenizer, vae, folder, seed)
            write_json(folder / IDENTITY, start)
    model = load_model(spec, work / "start")

    counts = {
        "vqa": recipe.vqa_batch,
        "caption": recipe.image_batch,
        "edit": recipe.edit_batch,
        "sharpen": recipe.sharpen_batch,
    }
    mixture = Mixed([Source(name, len(dataset), count) for name, count in counts.items() if count], seed)
    sources = {
        "vqa": vqa_source(dataset),
        "caption": caption_source(dataset, seed, TEXT_DROPOUT),
        "edit": edit_source(dataset),
        "sharpen": sharpen_source(dataset, seed),
    }
    config = TrainerConfig(
        run=f"base {spec.name}",
        steps=recipe.steps,
        optimizer=recipe.optimizer,
        ce_weight=1.0,
        mse_weight=1.0,
        timestep_shift=recipe.timestep_shift,
        ema=0.0,
        seed=seed,
    )
    tower = TowerMonitor(model.tower, _first_images(dataset), recipe.health_every) if model.tower else None
    callbacks = [
        Checkpointing(_digest(identity), recipe.save_every, keep_last=2),
        SpeedMonitor(),
        *([tower] if tower else []),
        *recorders(study.study.logging, work, config.run, _digest(identity)),
        ConsoleProgress(),
    ]
    Trainer(model, BatchLoader(model, mixture, sources, seed), config, work, callbacks=callbacks).fit()
    with atomic_dir(out / "final") as folder:
        model.save_checkpoint(folder)
    copy_file(work / "metrics.jsonl", out / "metrics.jsonl")
    write_curve(out / "metrics.jsonl", out / "curve.jsonl")
    record = {
        "model": spec.name,
        "seed": seed,
        "recipe": recipe.model_dump(),
        "tower": tower and tower.measure().record(),
        "identity": identity,
        "sha256": _hashes(out / "final"),
    }
    write_json(out / RECORD, record)


def pretrain_identity(study: LoadedStudy, spec: Model, seed: int) -> dict:
    """What decides a base model: contents and options, no resources, devices, paths or names.

    Args:
        study: for the dataset, and the arms whose prompts the tokenizer is trained on.
        spec: a model with a pretrain recipe.
        seed: of every random draw.

    Returns:
        By stage: ``vae``, ``start`` (tokenizer and initial weights), ``training``; each depends on the earlier ones.

    Raises:
        SgtError: the dataset, or the checkpoint whose VAE is reused, is missing.
    """
    recipe, architecture = _recipe_of(spec)
    folder = study.dataset_dir(recipe.dataset)
    read_manifest(folder)
    sizes = model_identity(spec)
    common = {"family": spec.family, "data_sha256": sha256(folder / MANIFEST), "seed": seed}
    if recipe.vae_of:
        owner = load_model_spec(recipe.vae_of, study.path.parent / "models")
        vae: dict[str, object] = {"taken_sha256": vae_sha256(owner, Path(owner.checkpoint))}
    else:
        options = recipe.model_dump(mode="json", include=OF_VAE)
        vae = {**common, **options, "vae_image": sizes["vae_image"], "architecture": architecture["vae"]}
    start = {
        **common,
        "architecture": architecture,
        "vit_image": sizes["vit_image"],
        "instructions_sha256": _digest(_prompts(study)),
    }
    training = {
        **common,
        **recipe.model_dump(mode="json", exclude={*OF_VAE, *WITHOUT_EFFECT}),
        "vae_image": sizes["vae_image"],
        "vqa_image": sizes["vqa_image"],
        "precision": spec.precision,
    }
    return {"vae": vae, "start": start, "training": training}


def _recipe_of(spec: Model) -> tuple[Pretrain, dict]:
    """The pretrain recipe of a model, and the architecture that its file must have with one.

    Raises:
        SgtError: it has none.
    """
    if spec.pretrain is None or spec.architecture is None:
        raise SgtError(f"model {spec.name}", "has no pretrain recipe", "see config/models")
    return spec.pretrain, spec.architecture


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _is_finished(out: Path, identity: dict) -> bool:
    """Whether a complete base model of this identity exists."""
    record = _read_record(out / RECORD)
    return record is not None and record.get("identity") == identity and record.get("sha256") == _hashes(out / "final")


def _hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): sha256(path) for path in files}


def _read_record(path: Path) -> dict | None:
    """A record that an earlier call wrote; None if it is missing or damaged."""
    try:
        return read_json(path, "delete it")
    except (FileNotFoundError, SgtError):
        return None


def _vae_of(owner: Model, name: str, sizes: dict) -> VAE:
    """The VAE of another base model; the published families share theirs, too.

    Args:
        owner: the other model.
        name: of the model that takes it.
        sizes: that it must have, as fields of :class:`VAEConfig`.

    Raises:
        SgtError: its checkpoint is missing, or the sizes differ.
    """
    vae = load_model(owner, Path(owner.checkpoint)).vae
    required = replace(vae.config, **{key: _frozen(value) for key, value in sizes.items()})
    if required != vae.config:
        raise SgtError(f"model {name}: pretrain.vae_of", f"{owner.name}'s VAE has other sizes", "make them equal")
    return vae


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _first_images(dataset: ShardDataset) -> list[Image.Image]:
    """What the vision tower is measured on."""
    return [image_of(dataset[index]) for index in range(min(HEALTH_IMAGES, len(dataset)))]


def _texts(dataset: ShardDataset, study: LoadedStudy) -> list[str]:
    """Training texts of the tokenizer."""
    samples = [dataset[index] for index in range(min(TOKENIZER_SAMPLES, len(dataset)))]
    texts = [turn["value"] for sample in samples for turn in sample.json()["conversations"]]
    # Whatever the recipe trains on: the identity of the tokenizer has the dataset, and not how much of what is drawn.
    texts += [instruction_of(sample) for sample in samples if "edit" in sample.json()]
    texts += [SHARPEN_PROMPT] * len(samples)
    return texts + _prompts(study)


def _prompts(study: LoadedStudy) -> list[str]:
    return [prompt for arm in study.proxy_arms for prompt in study.proxy(arm).prompts]
