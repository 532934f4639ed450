"""Training the VAE of a small model, on scenes and on targets."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from sgt.atomic import atomic_path, save_tensors
from sgt.config.models import Pretrain
from sgt.config.recipe import Optimizer
from sgt.data.dataset import ShardDataset
from sgt.data.images import image_of
from sgt.data.mixture import generator
from sgt.models.transforms import TargetTransform
from sgt.models.vae import VAE, VAEConfig
from sgt.progress import Progress
from sgt.proxies import PROXIES
from sgt.proxies.render import target_of
from sgt.training.optimizer import learning_rate, make_adamw

log = logging.getLogger("sgt")
KL_WEIGHT = 1e-4
# One proxy for each kind of image: flat colours, smooth grey, lines.
TARGETS = ("segmentation", "depth", "edge")
CALIBRATION_IMAGES = 256


def train_vae(
    sizes: dict,
    recipe: Pretrain,
    dataset: ShardDataset,
    transform: TargetTransform,
    seed: int,
    saved: Path,
    identity: str,
) -> VAE:
    """Train a VAE from scratch, or load it from ``saved`` if it was trained before.

    Half of every batch are scenes and half are proxy targets, because it will encode both. Its scale and shift are then
    set so that latents have zero mean and unit variance.

    Args:
        sizes: fields of :class:`VAEConfig`.
        recipe: steps, batch and learning rate; one that trains a VAE.
        dataset: scenes with annotations and depth.
        transform: to the size of the images that the model makes.
        seed: of every random draw.
        saved: file for the weights; the scale and shift are stored beside them.
        identity: of all that decides the weights; a file with another identity is replaced.

    Raises:
        ValueError: the recipe does not train a VAE.
    """
    steps = recipe.vae_steps
    if steps is None:
        raise ValueError("the recipe has no vae_steps")
    sizes = {key: tuple(value) if isinstance(value, list) else value for key, value in sizes.items()}
    config = VAEConfig(**sizes)
    if _identity(saved) == identity:
        return _load(config, saved)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        vae = VAE(config)
    schedule = Optimizer(lr=recipe.vae_lr, warmup=min(50, steps), schedule="cosine", eps=1e-8)
    optimizer = make_adamw(vae.parameters(), schedule)
    progress = Progress("VAE steps", steps)
    for step in range(steps):
        images = _images(dataset, transform, recipe.vae_batch, seed, step)
        noise = torch.Generator().manual_seed(seed * 1_000_003 + step)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(schedule, step, steps)
        mean, logvar = vae.moments(images)
        latent = mean + torch.exp(0.5 * logvar) * torch.randn(mean.shape, generator=noise)
        error = F.l1_loss(vae.decoder(latent), images)
        kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
        (error + KL_WEIGHT * kl).backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        progress.add(note=f"L1 {error.item():.4f}  KL {kl.item():.2f}")
    scale, shift = _calibrate(vae, _images(dataset, transform, CALIBRATION_IMAGES, seed, steps))
    with atomic_path(saved) as temporary:
        tensors = {**vae.state_dict(), "scale_factor": scale, "shift_factor": shift}
        save_tensors(temporary, tensors, {"identity": identity})
    return _load(config, saved)


def _identity(saved: Path) -> str | None:
    """The identity in a weight file's metadata; None if there is no such file."""
    try:
        with safe_open(saved, framework="pt") as file:
            return (file.metadata() or {}).get("identity")
    except (FileNotFoundError, SafetensorError):
        return None


def _load(config: VAEConfig, saved: Path) -> VAE:
    weights = load_file(saved)
    scale, shift = (weights.pop(name).item() for name in ("scale_factor", "shift_factor"))
    vae = VAE(replace(config, scale_factor=scale, shift_factor=shift))
    vae.load_state_dict(weights)
    return vae.requires_grad_(False).eval()


def _images(dataset: ShardDataset, transform: TargetTransform, count: int, seed: int, step: int) -> Tensor:
    """(count, 3, H, W) in [-1, 1]: scenes, then targets."""
    rng = generator(seed, "vae", step)
    samples = [dataset[int(index)] for index in rng.integers(len(dataset), size=count)]
    proxies = [PROXIES[name] for name in TARGETS]
    images: Sequence[Image.Image] = [
        image_of(sample) if place < count // 2 else target_of(proxies[rng.integers(len(proxies))], sample)
        for place, sample in enumerate(samples)
    ]
    return torch.stack([transform(image) for image in images])


@torch.no_grad()
def _calibrate(vae: VAE, images: Tensor) -> tuple[Tensor, Tensor]:
    mean, logvar = vae.moments(images)
    shift = mean.mean()
    return ((mean - shift).square() + logvar.exp()).mean().rsqrt(), shift
