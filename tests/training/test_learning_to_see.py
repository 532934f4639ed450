"""A training makes a model draw what it is shown: its ``use`` of the image is no longer that of an untrained one.

The model is the micro one, the proxy reconstruction, and each picture of one colour, which it learns in seconds.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from sgt.config.recipe import Optimizer
from sgt.data.mixture import Draw, Mixed, Source
from sgt.evaluation.treatment import MIN_USE
from sgt.models.examples import Example, InputImage, TargetImage, Text
from sgt.models.registry import load_model
from sgt.models.transforms import to_tensor
from sgt.models.unified import UnifiedModel
from sgt.models.vae import VAE
from sgt.proxies import PROXIES
from sgt.study.load import load_model_spec
from sgt.training.batch_loader import BatchLoader, ExampleSource
from sgt.training.callbacks.callback import Callback
from sgt.training.callbacks.image_use import ImageUse
from sgt.training.distributed import DistributedContext
from sgt.training.trainer import Trainer, TrainerConfig

MANY = 100_000


def picture(number: int) -> Image.Image:
    """A picture of one random colour."""
    red, green, blue = np.random.default_rng(number).integers(0, 256, 3).tolist()
    return Image.new("RGB", (48, 48), (red, green, blue))


def examples(first: int) -> ExampleSource:
    """Pictures to be drawn again, from a number on."""

    def make(draw: Draw) -> Example:
        image = picture(first + draw.number)
        return [InputImage(image), Text(PROXIES["reconstruction"].prompts[0]), TargetImage(image)]

    return ExampleSource(make, lambda draw: str(draw.number), MANY, makes_image=True)


@torch.no_grad()
def make_informative(vae: VAE) -> None:
    """Let latents say what an image is: after the few steps that the micro VAE was trained for, they are all noise."""
    images = torch.stack([to_tensor(picture(2 * MANY + number)) for number in range(48)])
    mean, _ = vae.moments(images)
    last, channels = vae.encoder.conv_out, vae.config.z_channels
    scale = mean.std(dim=(0, 2, 3))
    last.weight[:channels] /= scale[:, None, None, None]
    last.bias[:channels] = (last.bias[:channels] - mean.mean(dim=(0, 2, 3))) / scale
    last.weight[channels:], last.bias[channels:] = 0, -12
    vae.config = replace(vae.config, scale_factor=1.0, shift_factor=0.0)


class Measured(Callback):
    """Remembers ``validation_use`` by step."""

    def __init__(self) -> None:
        self.uses: dict[int, float] = {}

    def log_metrics(self, step: int, metrics: dict[str, float]) -> None:
        """See :class:`Callback`."""
        self.uses[step + 1] = metrics.get("validation_use", float("nan"))


def uses(model: UnifiedModel) -> list[float]:
    """``validation_use`` on pictures that are not trained on: after half of the steps, and after all."""
    config = TrainerConfig(
        run="reconstruction alone",
        steps=300,
        optimizer=Optimizer(lr=5e-3, warmup=10, schedule="cosine", eps=1e-8),
        ce_weight=1.0,
        mse_weight=1.0,
        timestep_shift=4.0,
        ema=0.0,
        seed=0,
    )
    loader = BatchLoader(model, Mixed([Source("proxy", MANY, 8)], 0), {"proxy": examples(0)}, 0)
    measured, use = Measured(), ImageUse(model, examples(MANY), 150, 24, 24, DistributedContext())
    Trainer(model, loader, config, Path("work"), callbacks=[use, measured]).fit()
    return [measured.uses[step] for step in (150, 300)]


def test_training_makes_a_model_draw_what_it_is_shown(study):
    torch.set_num_threads(1)
    spec = load_model_spec("micro")
    model = load_model(spec, Path(spec.checkpoint))
    make_informative(model.vae)
    untrained = ImageUse(model, examples(MANY), 0, 24, 24, DistributedContext())._measure()
    assert abs(untrained) < 0.05
    halfway, last = uses(model)
    assert halfway > 0.2 and last >= MIN_USE
