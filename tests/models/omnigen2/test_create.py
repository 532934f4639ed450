"""The untrained omnigen2-tiny: its image tokens know their place before anything is learned."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sgt.models.interface import Request
from sgt.models.omnigen2 import language
from sgt.models.omnigen2.prompts import SPECIAL
from sgt.models.omnigen2.rows import collate
from sgt.models.registry import create_model
from sgt.models.tokenizer import train_tokenizer
from sgt.models.vae import VAE, VAEConfig
from sgt.study.load import load_model_spec

SIDE = 6


@pytest.fixture
def model(tmp_path):
    spec = load_model_spec("omnigen2-tiny", Path(__file__).parents[3] / "config/models")
    spec = spec.model_copy(update={"device": "cpu"})
    tokenizer = train_tokenizer(["where is the cube"], SPECIAL, 300)
    sizes = {key: tuple(value) if isinstance(value, list) else value for key, value in spec.architecture["vae"].items()}
    return create_model(spec, tokenizer, VAE(VAEConfig(**sizes)), tmp_path, 0)


@torch.no_grad()
def test_image_tokens_tell_their_row_and_column(model):
    noise = np.random.default_rng(0).integers(0, 255, (40, SIDE, SIDE, 3), dtype=np.uint8)
    images = [Image.fromarray(colours).resize((48, 48), Image.Resampling.NEAREST) for colours in noise]
    rows = collate([model.chats.prefix(Request((image,))) for image in images])
    hidden = language.hidden_states(model.network.mllm, rows)[rows.ids == model.chats.special.image]
    hidden = hidden.view(len(images), SIDE * SIDE, -1).double()
    # Linearly, in images that were not used to find out how.
    places = torch.stack([torch.arange(SIDE * SIDE) // SIDE, torch.arange(SIDE * SIDE) % SIDE], dim=1).double()
    known, held_out = (part.flatten(0, 1) for part in hidden.chunk(2))
    known, held_out = (torch.cat([part, torch.ones(len(part), 1)], dim=1) for part in (known, held_out))
    wanted = places.repeat(len(images) // 2, 1)
    ridge = known.T @ known + 0.1 * torch.eye(known.shape[1])
    read = held_out @ torch.linalg.solve(ridge, known.T @ wanted)
    unexplained = (read - wanted).square().mean(0) / wanted.var(0)
    assert (unexplained < 0.4).all(), unexplained


def test_nothing_is_made_and_nothing_depends_on_references_at_first(model):
    network = model.network.transformer
    assert not network.norm_out.linear_2.weight.any()
    assert network.image_index_embedding.std() < 0.1
