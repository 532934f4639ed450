"""Speed of making images: all prompts and guidance branches as one batch, against one image and branch at a time.

The baseline is the loop of the official code: an image at a time, per step one pass of the network for each guidance
branch; OmniGen2's reads the text again at each step. Both make the same images from the same seeds. Run from the
repository root, with weights that are there, for example::

    python -m perf.sampling
    python -m perf.sampling --model bagel-7b --side 1024 --images 4 --steps 49 --device cuda --precision bf16
"""

import argparse
import itertools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from perf.train_step import device_name
from sgt.models import flow
from sgt.models.bagel import sampling as bagel
from sgt.models.bagel.context import Context
from sgt.models.interface import Sampling
from sgt.models.omnigen2 import sampling as omnigen2
from sgt.models.omnigen2.transformer import OmniGen2Transformer
from sgt.models.registry import load_model, target_transform
from sgt.models.requests import Request
from sgt.models.solvers import SOLVERS
from sgt.models.unified import UnifiedModel
from sgt.study.load import load_model_spec

THINGS = ("ball", "large box", "cone", "ring on the left", "tall thing at the top", "cube")
COLOURS = ("red", "green", "blue", "yellow")


def main(words: Sequence[str] | None = None) -> None:
    """Print one line per model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", nargs="+", default=["bagel-tiny", "omnigen2-tiny"], help="files in config/models")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--side", type=int, default=48, help="of the square images, pixels")
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--steps", type=int, default=24, help="of the sampler")
    parser.add_argument("--rounds", type=int, default=3, help="of both ways; the fastest of each counts")
    args = parser.parse_args(words)
    torch.set_num_threads(args.threads)
    sampling = Sampling(num_steps=args.steps, cfg_text_scale=4.0, cfg_interval=(0.0, 1.0))
    print(f"{device_name(torch.device(args.device))}, torch {torch.__version__}, {args.precision}, {args.steps} steps")
    for name in args.model:
        spec = load_model_spec(name).model_copy(update={"precision": args.precision, "device": args.device})
        model = load_model(spec, Path(spec.checkpoint))
        model.network.eval()
        width, height = target_transform(spec).size(args.side, args.side)
        compare(name, model, sampling, requests(args.images), (height, width), args.rounds)


def requests(count: int) -> list[Request]:
    """Prompts of several lengths."""
    pairs = itertools.cycle(itertools.product(THINGS, COLOURS))
    return [Request((f"A {colour} {thing}.",)) for thing, colour in itertools.islice(pairs, count)]


def compare(
    name: str, model: UnifiedModel, sampling: Sampling, prompts: list[Request], size: tuple[int, int], rounds: int
) -> None:
    """Time both ways alternately; the fastest round of each counts."""
    seeds = list(range(len(prompts)))

    def together() -> list[Image.Image]:
        return model.generate(prompts, sampling, seeds=seeds, size=size)

    def one_at_a_time() -> list[Image.Image]:
        pairs = zip(prompts, seeds, strict=True)
        with (
            mock.patch("sgt.models.bagel.inference.sample_latents", bagel_loop),
            mock.patch("sgt.models.omnigen2.inference.sample_latents", omnigen2_loop),
        ):
            return [model.generate([prompt], sampling, seeds=[seed], size=size)[0] for prompt, seed in pairs]

    both = [(timed(together), timed(one_at_a_time)) for _ in range(rounds)]
    fast, slow = (min(seconds for seconds, _ in way) for way in zip(*both, strict=True))
    (_, images), (_, alone) = both[0]
    apart = [int(np.abs(np.asarray(a, int) - np.asarray(b, int)).max()) for a, b in zip(images, alone, strict=True)]
    print(
        f"{name}, {len(prompts)} of {size[1]}x{size[0]}: {len(prompts) / fast:.3g} images/s, ratio {slow / fast:.2f};"
        f" pixels differ by at most {max(apart)} of 255"
    )


def timed(make: Callable[[], list[Image.Image]]) -> tuple[float, list[Image.Image]]:
    """Seconds, and what was made; images are on the host when they are there."""
    began = time.perf_counter()
    images = make()
    return time.perf_counter() - began, images


def bagel_loop(
    full: Context,
    text_free: Context,
    image_free: Context,
    noise: Tensor,
    shape: tuple[int, int],
    sampling: Sampling,
) -> Tensor:
    """As :func:`sgt.models.bagel.sampling.sample_latents` without images to edit, one branch after another."""
    x = noise
    for t, after in itertools.pairwise(flow.sampling_times(sampling.num_steps, sampling.shift).tolist()):
        v = full.velocity(x, t, [shape] * full.rows)
        if sampling.cfg_interval[0] < t <= sampling.cfg_interval[1]:
            v = bagel.guide(v, text_free.velocity(x, t, [shape] * full.rows), None, sampling, full.rows)
        x = x - v * (t - after)
    return x


def omnigen2_loop(
    transformer: OmniGen2Transformer,
    branches: Sequence[omnigen2.Branch],
    noise: Tensor,
    sampling: Sampling,
) -> Tensor:
    """As :func:`sgt.models.omnigen2.sampling.sample_latents`, one branch after another, each from its text."""
    tokens = noise[0, 0].numel() // transformer.config.patch_size**2
    times = flow.sampling_times(sampling.num_steps, flow.shift_factor(sampling.shift, tokens)).tolist()
    solver, x = SOLVERS[sampling.solver](), noise
    for step, (t, after) in enumerate(itertools.pairwise(times)):
        velocities = []
        for branch in branches if omnigen2.guides(step, sampling) else branches[:1]:
            lengths = [len(features) for features in branch.features]
            text = transformer.read_text(torch.cat(branch.features), lengths)
            when = torch.full((len(x),), 1 - t, device=x.device)
            velocities.append(torch.stack(transformer(text, lengths, list(x), when, branch.references)).float())
        x = solver.step(x, -omnigen2.guide(velocities, sampling), t, after)
    return x


if __name__ == "__main__":
    main()
