"""Models of either family at any size, with random weights, and random examples to train them on.

A model here has everything that training takes: a tokenizer, which is trained on a few sentences, and the image
transforms of its file in ``config/models``. Nothing is read from a checkpoint.
"""

import itertools
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer

from perf.random_bagel import fill, random_networks, tokens_of
from sgt.config.models import Model
from sgt.models.bagel.checkpoint import SPECIAL as BAGEL_MARKERS
from sgt.models.bagel.items import PackedBatch
from sgt.models.bagel.model import Bagel
from sgt.models.examples import Example, InputImage, QAPair, TargetImage, Text
from sgt.models.omnigen2.checkpoint import empty_networks
from sgt.models.omnigen2.config import OmniGen2Config, config_of
from sgt.models.omnigen2.images import QwenTransform, write_processor
from sgt.models.omnigen2.language import complete
from sgt.models.omnigen2.model import OmniGen2
from sgt.models.omnigen2.network import Batch
from sgt.models.omnigen2.prompts import PROMPT_TEXTS
from sgt.models.omnigen2.prompts import SPECIAL as OMNIGEN2_MARKERS
from sgt.models.rules import rules_of
from sgt.models.sizes import Tokens
from sgt.models.tokenizer import VOCABULARY, token_id, train_tokenizer
from sgt.models.unified import UnifiedModel

INSTRUCTION = "paint every object of the picture in a colour of its own, and the background black, in order of size"
QUESTION, ANSWER = "what stands on the table to the left of the window", "a blue vase with three yellow flowers"
TURNS = 4
# Words of the tokenizer, of which a network's vocabulary may have many more.
WORDS = 400


def random_model(spec: Model, dtype: torch.dtype, device: torch.device, seed: int = 0) -> UnifiedModel:
    """A model with normally distributed weights, which are created on the device.

    Args:
        spec: with the sizes of the model.
        dtype: of the network's weights; the VAE has fp32.
        device: of both; ``meta`` makes a model that collates batches and computes nothing.
        seed: of the weights.
    """
    images = rules_of(spec.family).images(spec)
    if spec.family == "bagel":
        tokenizer = train_tokenizer([INSTRUCTION, QUESTION, ANSWER], BAGEL_MARKERS, WORDS)
        return Bagel(*random_networks(spec, dtype, device, seed), tokenizer, Path(), images)
    tokenizer = train_tokenizer([INSTRUCTION, QUESTION, ANSWER, *PROMPT_TEXTS], OMNIGEN2_MARKERS, WORDS)
    network, vae = empty_networks(_omnigen2_config(spec, tokenizer))
    for module in (network.to(dtype), vae):
        module.to_empty(device=device)
        fill(module, seed)
    complete(network.mllm, device)
    for action in ("enable", "disable"):
        # transformers before 5.24 has recomputation under its former name alone.
        if not hasattr(network.mllm, f"activation_checkpointing_{action}"):
            former = getattr(network.mllm, f"gradient_checkpointing_{action}")
            setattr(network.mllm, f"activation_checkpointing_{action}", former)
    with tempfile.TemporaryDirectory() as folder:
        processor = Path(folder) / "processor"
        processor.mkdir()
        # Only the mean and the deviation of the colours are read of it.
        write_processor(processor, QwenTransform(1, 1))
        return OmniGen2(network, vae.requires_grad_(False).eval(), tokenizer, Path(folder), images)


def random_examples(model: UnifiedModel, spec: Model, tokens: int, seed: int = 0) -> list[Example]:
    """As many examples as fit into a pack: two of a target image, one of questions, and so on.

    Questions are about an image of half the largest side. Once no target fits any more, questions fill the pack.

    Args:
        model: counts the tokens.
        spec: its images are as large as the largest that it allows.
        tokens: of the pack, at most.
        seed: of the pixels.
    """
    rng, sides = np.random.default_rng(seed), rules_of(spec.family).largest_sides(spec)

    def image(side: int) -> Image.Image:
        return Image.fromarray(rng.integers(0, 256, (side, side, 3), np.uint8))

    target: Example = [InputImage(image(sides.input)), Text(INSTRUCTION), TargetImage(image(sides.target))]
    questions: Example = [InputImage(image(sides.vqa_input // 2), vqa=True), *[QAPair(QUESTION, ANSWER)] * TURNS]
    examples, left = [], tokens
    for wanted in itertools.cycle([target, target, questions]):
        example = wanted if model.tokens(wanted) <= left else questions
        if model.tokens(example) > left:
            return examples
        examples.append(example)
        left -= model.tokens(example)
    return examples


def batch_tokens(batch: PackedBatch | Batch, image_token: int = 0) -> Tokens:
    """Counts of tokens and of attended pairs of a batch.

    Args:
        batch: of either family.
        image_token: of OmniGen2, which stands for an image's tokens in a chat.
    """
    if isinstance(batch, PackedBatch):
        return tokens_of(batch)
    chats = [rows for rows in (batch.answers, batch.instructions) if rows]
    shown = [int((rows.ids == image_token).sum()) for rows in chats]
    return Tokens(
        text=sum(sum(rows.lengths) for rows in chats) - sum(shown),
        input_image=sum(shown),
        target_image=batch.mse_tokens,
        supervised=int(batch.answers.supervised.sum()) if batch.answers else 0,
        pairs=sum(int(rows.mask[rows.filled].sum()) for rows in chats),
        # Images of one kind are equally large.
        vision_pairs=sum(count**2 // len(rows.grids) for count, rows in zip(shown, chats, strict=True)),
        condition=sum(batch.instructions.lengths) if batch.instructions else 0,
    )


def _omnigen2_config(spec: Model, tokenizer: Tokenizer) -> OmniGen2Config:
    """The sizes of a model's file with the markers of a tokenizer; one that is pretrained here has few words."""
    config = config_of(spec.architecture or {})
    words = {"vocab_size": VOCABULARY} if spec.pretrain else {}
    marks = {
        "image_token_id": "<|image_pad|>",
        "vision_start_token_id": "<|vision_start|>",
        "vision_end_token_id": "<|vision_end|>",
        "bos_token_id": "<|endoftext|>",
        "eos_token_id": "<|im_end|>",
    }
    ids = {name: token_id(tokenizer, mark) for name, mark in marks.items()}
    # Videos are never in a batch; the id is one that no text has.
    return replace(config, mllm={**config.mllm, **words, **ids, "video_token_id": tokenizer.get_vocab_size()})
