"""Answering and drawing with BAGEL: what shared prefixes and guidance in one batch are worth."""

from collections.abc import Iterator
from functools import partial

import torch

from perf.generate import answer, make, timed
from perf.gpu.rows import Row
from perf.gpu.setting import Setting
from perf.random_bagel import random_networks
from sgt.models.interface import Sampling

STEP = "inference"


def inference(setting: Setting) -> Iterator[Row]:
    """Questions and images per second, each with its ratio to the same work one by one."""
    spec = setting.bagel
    network, vae = random_networks(spec, torch.bfloat16, setting.device)
    patch = network.config.vit.patch_size
    side, questions, tokens = spec.input_image["max_image_size"] // patch * patch, 4 if setting.tiny else 32, 8
    fast, slow = timed(
        [partial(answer, network, side, questions, tokens, shared) for shared in (True, False)], setting.device, 3
    )
    yield Row(
        STEP,
        f"{questions} answers of {tokens} tokens about one image",
        {"answers_per_s": questions / fast, "prefix_not_shared_over_shared": slow / fast},
    )
    for side, images, steps in [(16, 2, 2)] if setting.tiny else [(512, 4, 8), (1024, 1, 8)]:
        sampling = Sampling(num_steps=steps, cfg_text_scale=4.0, cfg_interval=(0.0, 1.0))
        variants = [partial(make, network, vae, images, side, sampling, batched) for batched in (True, False)]
        fast, slow = timed(variants, setting.device, 3)
        yield Row(
            STEP,
            f"{images} images of {side} pixels at once, {steps} steps, guided",
            {
                "image_steps_per_s": images * steps / fast,
                "images_of_49_steps_per_s": images * steps / fast / 49,
                "guidance_one_by_one_over_batch": slow / fast,
            },
        )
