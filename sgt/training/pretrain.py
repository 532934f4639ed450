"""``sgt pretrain``: a base model from nothing, so that a small study has one: captions, questions, text to image."""

import argparse
import hashlib
import logging
import shutil
from pathlib import Path

import torch

from sgt.atomic import atomic_dir, write_json
from sgt.data.dataset import ShardDataset, open_dataset
from sgt.data.mixture import Mixture, Source
from sgt.data.shards import MANIFEST
from sgt.errors import SgtError
from sgt.models.families import SPECIAL_TOKENS, create_model, load_model
from sgt.models.tokenizer import train_tokenizer
from sgt.models.transforms import transform_of
from sgt.study.load import LoadedStudy, load_study
from sgt.training.autoencoder import train_vae
from sgt.training.examples import caption_maker, examples_of, vqa_maker
from sgt.training.loop import Plan, train

log = logging.getLogger("sgt")
VOCABULARY = 512
TOKENIZER_SAMPLES = 1000
TEXT_DROPOUT = 0.1


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

    tokenizer = train_tokenizer(_texts(dataset, study), SPECIAL_TOKENS[spec.family], VOCABULARY)
    vae = train_vae(
        spec.architecture["vae"], recipe, dataset, transform_of(spec.vae_image), args.seed, work / "vae.safetensors"
    )
    if not (work / "start").exists():
        with atomic_dir(work / "start") as folder:
            create_model(spec, tokenizer, vae, folder, args.seed)
    model = load_model(spec, work / "start")

    mixture = Mixture(
        [Source("vqa", len(dataset), recipe.vqa_batch), Source("caption", len(dataset), recipe.image_batch)], args.seed
    )
    makers = {"vqa": vqa_maker(dataset), "caption": caption_maker(dataset, args.seed, TEXT_DROPOUT)}
    identity = (spec.model_dump_json(), (dataset_dir / MANIFEST).read_text(), args.seed)
    plan = Plan(
        steps=recipe.steps,
        optimizer=recipe.optimizer,
        ce_weight=1.0,
        mse_weight=1.0,
        timestep_shift=1.0,
        ema=0.0,
        save_every=recipe.save_every,
        seed=args.seed,
        fingerprint=hashlib.sha256(repr(identity).encode()).hexdigest(),
    )
    train(model, lambda step: examples_of(mixture, makers, step), plan, work)
    with atomic_dir(args.out / "final") as folder:
        model.save_checkpoint(folder)
    shutil.copyfile(work / "metrics.jsonl", args.out / "metrics.jsonl")
    write_json(args.out / "run.json", {"model": spec.name, "seed": args.seed, "recipe": recipe.model_dump()})


def _texts(dataset: ShardDataset, study: LoadedStudy) -> list[str]:
    """Everything the tokenizer should know as whole words."""
    samples = (dataset[index] for index in range(min(TOKENIZER_SAMPLES, len(dataset))))
    said = [turn["value"] for sample in samples for turn in sample.json()["conversations"]]
    return said + [prompt for arm in study.proxy_arms for prompt in study.proxy(arm).prompts]
