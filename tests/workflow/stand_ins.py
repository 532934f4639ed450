"""Stand-ins for what the committed studies of released weights fetch: small, in the released layouts, from a hub here.

A study is derived from its committed file by replacing sizes of images, devices, addresses and limits alone, so that a
test of it is a test of the file that users run.
"""

import io
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load_file, save_file

from sgt.config.downloads import DOWNLOADS_FILE
from sgt.config.models import Model
from sgt.models.configs import VAEConfig
from sgt.models.family import family_of
from sgt.models.registry import create_model
from sgt.models.tokenizer import train_tokenizer
from sgt.models.vae import VAE
from sgt.study.load import load_study
from tests.data.fetch.hub import Hub
from tests.data.sources import releases

ROOT = Path(__file__).parents[2]
CPU = {"gpu": 0, "threads": 1, "mem_mb": 2000, "runtime": 10}
# Images of 4 x 4 or of 2 x 2 tokens, each of as many pixels as those of the released models.
PIXELS = {
    "bagel": {
        "input_image": {"max_image_size": 56, "min_image_size": 56},
        "vqa_input_image": {"max_image_size": 56, "min_image_size": 28},
        "target_image": {"max_image_size": 32, "min_image_size": 32},
    },
    "omnigen2": {
        "input_image": {"max_pixels": 3136, "min_pixels": 3136},
        "target_image": {"max_pixels": 1024, "max_side_length": 32},
    },
}
VAE_SIZES = {"ch": 8, "ch_mult": [1, 1, 1, 1], "num_res_blocks": 1, "z_channels": 4, "norm_groups": 4}
LANGUAGE = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 4096,
}  # fmt: skip
ARCHITECTURE: dict[str, dict[str, Any]] = {
    "bagel": {
        "llm": LANGUAGE,
        "vit": {
            "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4,
            "image_size": 56,
        },
        "vae": VAE_SIZES,
        "max_latent_size": 4,
    },
    "omnigen2": {
        "transformer": {
            "in_channels": 4, "hidden_size": 32, "num_layers": 2, "num_refiner_layers": 1, "num_attention_heads": 4,
            "num_kv_heads": 2, "multiple_of": 32, "axes_dim_rope": [4, 2, 2], "axes_lens": [4096, 4, 4],
            "text_feat_dim": 32,
        },
        "mllm": {
            **LANGUAGE, "rope_scaling": {"type": "mrope", "mrope_section": [2, 1, 1]}, "tie_word_embeddings": False,
            "vision_config": {
                "depth": 1, "hidden_size": 32, "intermediate_size": 64, "num_heads": 4, "out_hidden_size": 32,
                "fullatt_block_indexes": [0],
            },
        },
        "vae": VAE_SIZES,
    },
}  # fmt: skip


# Where a family's text embeddings and text head are.
LANGUAGE_WEIGHTS = {"bagel": "ema.safetensors", "omnigen2": "mllm/model.safetensors"}


def derive(study: Path, folder: Path, **changes: Any) -> Path:
    """Write a committed study into a folder, with its models as small as the stand-ins for their weights.

    Args:
        study: its file in this repository.
        folder: gets ``config``.
        changes: of fields of the study.

    Returns:
        The study's file.
    """
    shutil.copytree(ROOT / "config", folder / "config")
    file = folder / "config" / study.name
    content = {**yaml.safe_load(study.read_text()), **changes}
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    for name in content["models"]:
        model = folder / f"config/models/{name}.yaml"
        spec = yaml.safe_load(model.read_text())
        # The sizes of the network are those that the checkpoint states.
        pixels = PIXELS[spec["family"]]
        sizes = {field: {**spec[field], **pixels[field]} for field in pixels if field in spec}
        resources = {field: CPU for field in ("train", "predict") if field in spec}
        model.write_text(yaml.safe_dump({**spec, **sizes, **resources, "device": "cpu"}, sort_keys=False))
    return file


def create_base(spec: Model, folder: Path) -> None:
    """Write random weights into a folder, in the official layout of a model's family. They answer A or B, and end."""
    folder.mkdir(parents=True)
    tokenizer = train_tokenizer(["Is there a cat in the image?"], family_of(spec.family).special_tokens, 300)
    sizes = ARCHITECTURE[spec.family]
    create_model(spec.model_copy(update={"architecture": sizes}), tokenizer, VAE(VAEConfig(**VAE_SIZES)), folder, 0)
    _answer_with_a_letter(folder / LANGUAGE_WEIGHTS[spec.family], *map(tokenizer.token_to_id, ("A", "B", "<|im_end|>")))


def _answer_with_a_letter(weights: Path, a: int, b: int, end: int) -> None:
    """Let the sign of a random projection of the last state choose between two letters, and a letter end the reply.

    A letter's embedding lies along an axis that no other token has, and that the end of a reply is read off.
    """
    tensors = load_file(weights)
    (embedding,) = (tensors[name] for name in tensors if name.endswith("embed_tokens.weight"))
    (head,) = (tensors[name] for name in tensors if name.endswith("lm_head.weight"))
    embedding[:, 0] = 0
    embedding[[a, b]] = 0
    embedding[[a, b], 0] = 50
    head.zero_()
    head[end, 0] = 10
    head[a] = 30 * torch.randn(head.shape[1], generator=torch.Generator().manual_seed(0))
    head[a, 0] = 0
    head[b] = -head[a]
    save_file(tensors, weights)


def serve(study: Path) -> Hub:
    """A hub with everything that a study fetches; the study's table of downloads then names it.

    Args:
        study: a file that :func:`derive` wrote.
    """
    loaded, table = load_study(study), study.parents[1] / DOWNLOADS_FILE
    entries = yaml.safe_load(table.read_text())
    files: dict[str, dict[str, bytes]] = {}
    with tempfile.TemporaryDirectory() as made:
        for spec in loaded.models.values():
            base = Path(made) / Path(spec.checkpoint).name
            if not base.exists():
                create_base(spec, base)
            files[base.name] = _content(base)
            if spec.overlay:
                files[Path(spec.overlay).name] = _written(RELEASES[spec.family], base)
    for name in loaded.read_downloads:
        files[name.name] = _written(_writer(name.name, loaded.benchmarks))
    of_web = [name for name in files if entries[name]["host"] == "web"]
    hub = Hub(
        {path: content for name in of_web for path, content in files[name].items()},
        {entries[name]["repository"]: files[name] for name in files.keys() - of_web},
    )
    for name in of_web:
        # Other files than the released ones have other hashes.
        entries[name]["files"] = [{"url": f"{hub.url}/web/{path}"} for path in sorted(files[name])]
    table.write_text(yaml.safe_dump(entries, sort_keys=False))
    return hub


def _writer(download: str, benchmarks: Mapping[str, Any]) -> Callable[[Path], None]:
    if download == "coco-2017":
        return _write_coco
    if download in releases.WRITERS:
        return releases.WRITERS[download]
    (name,) = [name for name, each in benchmarks.items() if download in each.data_downloads]
    return import_module(f"tests.evaluation.tasks.test_{name.replace('-', '_')}").write


def _write_coco(folder: Path) -> None:
    """Both splits: what each has in an archive of the same name is in one."""
    parts = []
    for split in ("train", "val"):
        with tempfile.TemporaryDirectory() as part:
            releases.write_coco(Path(part) / "coco", split)
            parts.append(_content(Path(part) / "coco"))
    folder.mkdir()
    for name in {name for part in parts for name in part}:
        members = {}
        for archive in (zipfile.ZipFile(io.BytesIO(part[name])) for part in parts if name in part):
            members |= {member: archive.read(member) for member in archive.namelist()}
        (folder / name).write_bytes(releases.zipped(members, zipfile.ZIP_STORED))


def _release_bagel(folder: Path, base: Path) -> None:
    """SGT-BAGEL's layout: weights in one file, beside which only a card lies."""
    folder.mkdir()
    save_file(_retrained(base / "ema.safetensors"), folder / "ema.safetensors")
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n")


def _release_omnigen2(folder: Path, base: Path) -> None:
    """SGT-Gen2's layout: the language model under another name, and with names of current transformers."""
    for part in ("transformer", "text_encoder"):
        (folder / "transformer" / part).mkdir(parents=True)
    weights = _retrained(base / "transformer/diffusion_pytorch_model.safetensors")
    save_file(weights, folder / "transformer/transformer/diffusion_pytorch_model.safetensors")
    language = {_current_name(name): value for name, value in _retrained(base / "mllm/model.safetensors").items()}
    save_file(language, folder / "transformer/text_encoder/model.safetensors")


RELEASES = {"bagel": _release_bagel, "omnigen2": _release_omnigen2}


def _current_name(name: str) -> str:
    if name.startswith("model."):
        return f"model.language_{name}"
    return f"model.{name}" if name.startswith("visual.") else name


def _retrained(weights: Path) -> dict[str, torch.Tensor]:
    """The same tensors, of which those of the layers are changed enough that answers change with them."""
    generator = torch.Generator().manual_seed(0)
    tensors = load_file(weights)
    for name, value in tensors.items():
        if not name.endswith(("embed_tokens.weight", "lm_head.weight")):
            noise = torch.randn(value.shape, generator=generator)
            tensors[name] = value + ((0.1 + 2 * value.float().std(unbiased=False)) * noise).to(value)
    return tensors


def _written(write: Callable[..., None], *more: Any) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "files", *more)
        return _content(Path(folder) / "files")


def _content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
