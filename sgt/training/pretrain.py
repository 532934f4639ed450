"""A base model from nothing, so that a small study has one: captions, questions, text to image."""

import hashlib
import json
import logging
from dataclasses import replace
from pathlib import Path

from sgt.atomic import atomic_dir, copy_file, sha256, write_json
from sgt.config.models import Model
from sgt.data.dataset import ShardDataset, open_dataset
from sgt.data.mixture import Mixed, Source
from sgt.data.shards import MANIFEST, read_manifest
from sgt.errors import SgtError
from sgt.models.family import family_of
from sgt.models.registry import create_model, load_model, target_transform, vae_sha256
from sgt.models.rules import model_identity
from sgt.models.tokenizer import VOCABULARY, train_tokenizer
from sgt.models.vae import VAE
from sgt.study.load import LoadedStudy, load_model_spec
from sgt.training.autoencoder import train_vae
from sgt.training.examples import caption_supply, vqa_supply
from sgt.training.loop import Plan, Training
from sgt.training.stream import Stream

log = logging.getLogger("sgt")
TOKENIZER_SAMPLES = 1000
TEXT_DROPOUT = 0.1
# What a family says around every prompt is as frequent as one text in so many.
PROMPT_TEXT_SHARE = 10
RECORD, IDENTITY = "run.json", "identity.json"
OF_VAE = {"vae_steps", "vae_batch", "vae_lr"}


def pretrain(study: LoadedStudy, spec: Model, out: Path, seed: int) -> None:
    """Tokenizer, VAE, network; then ``final/`` in the official layout and, last, ``run.json``.

    What an earlier call made is taken up if nothing that decides it has changed since, and made anew otherwise.

    Args:
        study: names the dataset and the arms whose instructions the tokenizer knows.
        spec: a model with a pretrain recipe.
        out: folder for ``final/`` and, meanwhile, ``work/``.
        seed: of everything random.

    Raises:
        SgtError: the dataset, or the checkpoint whose VAE is taken, is missing.
    """
    recipe, work = spec.pretrain, out / "work"
    identity = pretrain_identity(study, spec, seed)
    if _is_finished(out, identity):
        log.info("%s is finished already, and nothing that decides it has changed", out)
        return
    # It must not vouch for weights that are being replaced.
    (out / RECORD).unlink(missing_ok=True)
    work.mkdir(parents=True, exist_ok=True)
    dataset = open_dataset(study.dataset_dir(recipe.dataset))

    family = family_of(spec.family)
    texts = _texts(dataset, study)
    texts += [text for text in family.prompt_texts for _ in range(len(texts) // PROMPT_TEXT_SHARE)]
    tokenizer = train_tokenizer(texts, family.special_tokens, VOCABULARY)
    if recipe.vae_of:
        vae = _taken_vae(load_model_spec(recipe.vae_of, study.path.parent / "models"), spec)
    else:
        sizes, saved = spec.architecture["vae"], work / "vae.safetensors"
        vae = train_vae(sizes, recipe, dataset, target_transform(spec), seed, saved, _digest(identity["vae"]))
    begun = {stage: identity[stage] for stage in ("vae", "start")}
    if _read(work / "start" / IDENTITY) != begun:
        with atomic_dir(work / "start") as folder:
            create_model(spec, tokenizer, vae, folder, seed)
            write_json(folder / IDENTITY, begun)
    model = load_model(spec, work / "start")

    mixture = Mixed(
        [Source("vqa", len(dataset), recipe.vqa_batch), Source("caption", len(dataset), recipe.image_batch)], seed
    )
    supplies = {"vqa": vqa_supply(dataset), "caption": caption_supply(dataset, seed, TEXT_DROPOUT)}
    plan = Plan(
        run=f"base {spec.name}",
        steps=recipe.steps,
        optimizer=recipe.optimizer,
        ce_weight=1.0,
        mse_weight=1.0,
        timestep_shift=1.0,
        ema=0.0,
        save_every=recipe.save_every,
        keep=2,
        validate_every=0,
        seed=seed,
        fingerprint=_digest(identity),
        watch=study.study.logging,
    )
    Training(model, Stream(model, mixture, supplies, seed), plan, work).run()
    with atomic_dir(out / "final") as folder:
        model.save_checkpoint(folder)
    copy_file(work / "metrics.jsonl", out / "metrics.jsonl")
    record = {"model": spec.name, "seed": seed, "recipe": recipe.model_dump()}
    write_json(out / RECORD, {**record, "identity": identity, "sha256": _hashes(out / "final")})


def pretrain_identity(study: LoadedStudy, spec: Model, seed: int) -> dict:
    """What decides a base model, as plain data: contents and options, no resources, device, paths or names.

    Args:
        study: names the dataset, and the arms whose instructions the tokenizer knows.
        spec: a model with a pretrain recipe.
        seed: of everything random.

    Returns:
        By stage: ``vae``, ``start`` (tokenizer and untrained weights), ``training``; each depends on those before.

    Raises:
        SgtError: the dataset, or the checkpoint whose VAE is taken, is missing.
    """
    recipe, folder = spec.pretrain, study.dataset_dir(spec.pretrain.dataset)
    read_manifest(folder)
    sizes = model_identity(spec)
    common = {"family": spec.family, "data_sha256": sha256(folder / MANIFEST), "seed": seed}
    if recipe.vae_of:
        owner = load_model_spec(recipe.vae_of, study.path.parent / "models")
        vae = {"taken_sha256": vae_sha256(owner, Path(owner.checkpoint))}
    else:
        options = recipe.model_dump(mode="json", include=OF_VAE)
        vae = {**common, **options, "vae_image": sizes["vae_image"], "architecture": spec.architecture["vae"]}
    start = {
        **common,
        "architecture": spec.architecture,
        "vit_image": sizes["vit_image"],
        "instructions_sha256": _digest(_instructions(study)),
    }
    training = {
        **common,
        **recipe.model_dump(mode="json", exclude={*OF_VAE, "vae_of", "dataset", "save_every"}),
        "vae_image": sizes["vae_image"],
        "vqa_image": sizes["vqa_image"],
        "precision": spec.precision,
    }
    return {"vae": vae, "start": start, "training": training}


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _is_finished(out: Path, identity: dict) -> bool:
    """Whether a base model of this identity is there, whole."""
    record = _read(out / RECORD)
    return record is not None and record.get("identity") == identity and record.get("sha256") == _hashes(out / "final")


def _hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): sha256(path) for path in files}


def _read(path: Path) -> dict | None:
    """A record that was written here, or None if there is none that can be read."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return record if isinstance(record, dict) else None


def _taken_vae(owner: Model, spec: Model) -> VAE:
    """The VAE of another base model, as the published families share theirs.

    Raises:
        SgtError: its checkpoint is missing, or the sizes differ.
    """
    vae = load_model(owner, Path(owner.checkpoint)).vae
    wanted = replace(vae.config, **{key: _frozen(value) for key, value in spec.architecture["vae"].items()})
    if wanted != vae.config:
        raise SgtError(f"model {spec.name}: pretrain.vae_of", f"{owner.name}'s VAE has other sizes", "make them equal")
    return vae


def _frozen(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _texts(dataset: ShardDataset, study: LoadedStudy) -> list[str]:
    """Everything the tokenizer should know as whole words."""
    samples = (dataset[index] for index in range(min(TOKENIZER_SAMPLES, len(dataset))))
    said = [turn["value"] for sample in samples for turn in sample.json()["conversations"]]
    return said + _instructions(study)


def _instructions(study: LoadedStudy) -> list[str]:
    return [prompt for arm in study.proxy_arms for prompt in study.proxy(arm).prompts]
