"""A Mask2Former and a CLIP of the smallest sizes with random weights, in folders as the hub has them."""

from pathlib import Path

import torch
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPTokenizer,
    Mask2FormerConfig,
    Mask2FormerForUniversalSegmentation,
    SwinConfig,
)

from sgt.evaluation.evaluators.coco_classes import CLASSES

# As detectors trained on COCO call them.
LABELS = [spellings[0] if spellings else name for name, spellings in CLASSES.items()]


def write_detector(folder: Path, labels: list[str] = LABELS) -> None:
    stages = [f"stage{number}" for number in range(1, 5)]
    swin = SwinConfig(embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 1, 1], out_features=stages)
    config = Mask2FormerConfig(
        backbone_config=swin,
        feature_size=32,
        mask_feature_size=32,
        hidden_dim=32,
        encoder_feedforward_dim=8,
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=2,
        dim_feedforward=8,
        num_queries=8,
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
    )
    _save(Mask2FormerForUniversalSegmentation, config, folder)


def write_classifier(folder: Path) -> None:
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    alphabet = sorted(ByteLevel.alphabet())
    tokens = [*alphabet, *(f"{token}</w>" for token in alphabet), "<|startoftext|>", "<|endoftext|>"]
    bos, eos = len(tokens) - 2, len(tokens) - 1
    text = {**sizes, "vocab_size": len(tokens), "bos_token_id": bos, "eos_token_id": eos, "pad_token_id": eos}
    vision = {**sizes, "image_size": 28, "patch_size": 14}
    _save(CLIPModel, CLIPConfig(text_config=text, vision_config=vision, projection_dim=8), folder)
    CLIPTokenizer({token: index for index, token in enumerate(tokens)}, []).save_pretrained(folder)


def _save(kind, config, folder: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        kind(config).save_pretrained(folder)
