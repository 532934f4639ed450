"""``sgt pretrain``: a base model from nothing, so that a small study has one: captions, questions, text to image."""

import argparse
import hashlib
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import torch

from sgt.atomic import atomic_dir, write_json
from sgt.data.dataset import ShardDataset, open_dataset
from sgt.data.mixture import Mixed, Source
from sgt.data.shards import MANIFEST
from sgt.errors import SgtError
from sgt.models.families import FAMILIES, create_model, load_model, made_image
from sgt.models.tokenizer import VOCABULARY, train_tokenizer
from sgt.models.vae import VAE
from sgt.study.load import LoadedStudy, load_model_spec, load_study
from sgt.study.models import Model
from sgt.training.autoencoder import train_vae
from sgt.training.examples import caption_supply, vqa_supply
from sgt.training.loop import Plan, Training
from sgt.training.stream import Stream

log = logging.getLogger("sgt")
TOKENIZER_SAMPLES = 1000
TEXT_DROPOUT = 0.1
# What a family says around every prompt is as frequent as one text in so many.
SAID_SHARE = 10


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt pretrain``."""
    parser.add_argument("study", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder for final/ and, meanwhile, work/")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2, help="CPU threads; the result depends on it bit by bit")


def run(args: argparse.Namespace) -> None:
    """Tokenizer, VAE, network; then ``final/`` in the official layout."""
    torch.set_num_threads(args.threads)
    study = load_study(args.study)
    spec = study.models.get(args.model)
    if spec is None or spec.pretrain is None:
        raise SgtError(args.study, f"model {args.model!r} has no pretrain recipe", "see config/models")
    recipe, work = spec.pretrain, args.out / "work"
    work.mkdir(parents=True, exist_ok=True)
    dataset_dir = study.dataset_dir(recipe.dataset)
    dataset = open_dataset(dataset_dir)

    family = FAMILIES[spec.family]
    texts = _texts(dataset, study)
    texts += [text for text in family.said for _ in range(len(texts) // SAID_SHARE)]
    tokenizer = train_tokenizer(texts, family.special_tokens, VOCABULARY)
    if recipe.vae_of:
        vae = _taken_vae(load_model_spec(recipe.vae_of, args.study.parent / "models"), spec)
    else:
        sizes, saved = spec.architecture["vae"], work / "vae.safetensors"
        vae = train_vae(sizes, recipe, dataset, made_image(spec), args.seed, saved)
    if not (work / "start").exists():
        with atomic_dir(work / "start") as folder:
            create_model(spec, tokenizer, vae, folder, args.seed)
    model = load_model(spec, work / "start")

    mixture = Mixed(
        [Source("vqa", len(dataset), recipe.vqa_batch), Source("caption", len(dataset), recipe.image_batch)], args.seed
    )
    supplies = {"vqa": vqa_supply(dataset), "caption": caption_supply(dataset, args.seed, TEXT_DROPOUT)}
    identity = (spec.model_dump_json(), (dataset_dir / MANIFEST).read_text(), args.seed)
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
        seed=args.seed,
        fingerprint=hashlib.sha256(repr(identity).encode()).hexdigest(),
        watch=study.study.watch,
    )
    Training(model, Stream(model, mixture, supplies, args.seed), plan, work).run()
    with atomic_dir(args.out / "final") as folder:
        model.save_checkpoint(folder)
    shutil.copyfile(work / "metrics.jsonl", args.out / "metrics.jsonl")
    write_json(args.out / "run.json", {"model": spec.name, "seed": args.seed, "recipe": recipe.model_dump()})


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
    return said + [prompt for arm in study.proxy_arms for prompt in study.proxy(arm).prompts]
