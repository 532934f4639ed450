"""How fast a model makes images and answers questions: images and questions per second, with random weights.

Beside each rate stands that of the plain way, on the same inputs: guidance branches one after another instead of as
one batch, and the image read anew for every question instead of once. Run from the repository root, for example::

    python -m perf.generate --model bagel-tiny --sides 48
    python -m perf.generate --model bagel-7b --precision bf16 --sides 1024 512 --steps 49
"""

import argparse
import itertools
import time
from collections.abc import Callable, Sequence
from functools import partial

import torch

from perf.random_bagel import SPECIAL, random_networks, spec_of
from perf.train_step import device_name
from sgt.models import flow
from sgt.models.bagel.context import Context
from sgt.models.bagel.network import BagelNetwork
from sgt.models.bagel.sampling import guide, sample_latents
from sgt.models.decoding import generate_tokens
from sgt.models.interface import Decoding, Sampling
from sgt.models.registry import WEIGHTS
from sgt.models.vae import VAE

PROMPT, QUESTION = list(range(5, 45)), list(range(5, 25))


def main(words: Sequence[str] | None = None) -> None:
    """Print a line per image size, and one for questions."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="bagel-tiny", help="name of a file in config/models")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--sides", type=int, nargs="+", default=[48], help="sides of square images, pixels")
    parser.add_argument("--steps", type=int, default=24, help="steps of the sampler")
    parser.add_argument("--images", type=int, default=4, help="images made at once")
    parser.add_argument("--questions", type=int, default=32, help="questions about one image")
    parser.add_argument("--answer", type=int, default=8, help="tokens per answer")
    args = parser.parse_args(words)
    torch.set_num_threads(args.threads)
    device, spec = torch.device(args.device), spec_of(args.model)
    network, vae = random_networks(spec, WEIGHTS[args.precision], device)
    print(f"{device_name(device)}, torch {torch.__version__}, {args.model}, {args.precision}")

    sampling = Sampling(num_steps=args.steps, cfg_text_scale=4.0, cfg_interval=(0.0, 1.0))
    for side in args.sides:
        ways = [partial(make, network, vae, args.images, side, sampling, together) for together in (True, False)]
        fast, slow = timed(ways, device)
        rate = args.images / fast
        print(f"{side}x{side}, {args.steps} steps, {args.images} at once: {rate:.3g} images/s, ratio {slow / fast:.2f}")

    side = spec.vit_image[0] // network.config.vit.patch_size * network.config.vit.patch_size
    fast, slow = timed(
        [partial(answer, network, side, args.questions, args.answer, shared) for shared in (True, False)], device
    )
    rate = args.questions / fast
    print(f"answers of {args.answer} tokens, {args.questions} at once: {rate:.3g} questions/s, ratio {slow / fast:.2f}")


@torch.no_grad()
def make(network: BagelNetwork, vae: VAE, images: int, side: int, sampling: Sampling, together: bool) -> None:
    """Images from a prompt, with guidance branches as one batch or one after another."""
    full, empty = Context(network, SPECIAL, images), Context(network, SPECIAL, images)
    full.add_text([PROMPT] * images)
    shape = (side // network.config.latent_stride,) * 2
    tokens = shape[0] * shape[1]
    x = torch.randn(images * tokens, network.config.latent_dim, device=network.device)
    if together:
        x = sample_latents(full, empty, full, x, shape, sampling)
    else:
        times = flow.sampling_times(sampling.num_steps, sampling.shift).tolist()
        for t, after in itertools.pairwise(times):
            v, v_text = (context.velocity(x, t, [shape] * images) for context in (full, empty))
            x = x - guide(v, v_text, None, sampling, images) * (t - after)
    vae.decode(torch.stack([network.unpatchify(part, shape) for part in x.split(tokens)]))


@torch.no_grad()
def answer(network: BagelNetwork, side: int, questions: int, tokens: int, shared: bool) -> None:
    """Answers to questions about one image, which is read once or for every question."""
    context = Context(network, SPECIAL, 1 if shared else questions)
    context.add_vit([torch.zeros(3, side, side)] * context.rows)
    context = context.select([0] * questions) if shared else context
    context.add_text([QUESTION] * questions)
    generate_tokens(context, SPECIAL.bos, SPECIAL.eos, Decoding(tokens))


def timed(ways: Sequence[Callable[[], None]], device: torch.device, rounds: int = 4) -> list[float]:
    """Seconds of the fastest call of each way; they take turns, and the first round warms up."""
    seconds = [[] for _ in ways]
    for _ in range(rounds):
        for work, taken in zip(ways, seconds, strict=True):
            began = time.perf_counter()
            work()
            if device.type == "cuda":
                torch.cuda.synchronize()
            taken.append(time.perf_counter() - began)
    return [min(taken[1:]) for taken in seconds]


if __name__ == "__main__":
    main()
