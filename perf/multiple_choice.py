"""Speed of multiple choice: questions per second when all are answered together and share their images' tokens.

The baseline answers one question at a time, with its image, and rates one option at a time. Both must choose the same
options and write the same replies. On the CPU, time is processor time. Run from the repository root, with weights that
are there, or with random ones, for example::

    python -m perf.multiple_choice --model bagel-tiny --images 20
    python -m perf.multiple_choice --model bagel-tiny --random
    python -m perf.multiple_choice --model bagel-7b --images 4 --side 980 --device cuda --precision bf16
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from perf.random_models import random_model
from perf.train_step import device_name
from sgt.models.registry import DTYPES, load_model
from sgt.models.requests import Decoding, Likelihood, Request
from sgt.models.unified import UnifiedModel
from sgt.study.load import load_model_spec

THINGS = ("circle", "square", "triangle", "star", "cross", "ring")
COLOURS = ("red", "green", "blue", "yellow")


def main(words: Sequence[str] | None = None) -> None:
    """Print one line for options that are rated, and one for replies that are written."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="bagel-tiny", help="name of a file in config/models")
    parser.add_argument("--random", action="store_true", help="random weights instead of those in data/base")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--side", type=int, default=48, help="of the square images, pixels")
    parser.add_argument("--answer", type=int, default=4, help="tokens per reply, at most")
    args = parser.parse_args(words)
    torch.set_num_threads(args.threads)
    spec = load_model_spec(args.model).model_copy(update={"precision": args.precision, "device": args.device})
    if args.random:
        model = random_model(spec, DTYPES[args.precision], torch.device(args.device))
    else:
        model = load_model(spec, Path(spec.checkpoint))
    model.network.eval()
    clock = time.process_time if args.device == "cpu" else time.perf_counter
    requests = questions(args.images, args.side)
    print(f"{device_name(torch.device(args.device))}, torch {torch.__version__}, {args.model}, {args.precision}")
    print(f"{args.images} images of {args.side} pixels, {len(THINGS)} questions about each, {len(COLOURS)} options")

    began = clock()
    rated = [best(each) for each in model.loglikelihood(requests, [COLOURS] * len(requests))]
    between = clock()
    alone = [best([rate_alone(model, request, option) for option in COLOURS]) for request in requests]
    report("options rated", len(requests), between - began, clock() - between, rated, alone)

    decoding = Decoding(args.answer)
    began = clock()
    written = [reply.text for reply in model.answer(requests, decoding)]
    between = clock()
    alone_written = [model.answer([with_own_image(request)], decoding)[0].text for request in requests]
    report("replies written", len(requests), between - began, clock() - between, written, alone_written)


def questions(images: int, side: int) -> list[Request]:
    """Questions about the same images one after another, which share the image objects."""
    rng, requests = np.random.default_rng(0), []
    for _ in range(images):
        image = Image.fromarray(rng.integers(0, 256, (side, side, 3), np.uint8))
        requests += [Request((image, f"What colour is the {thing}?")) for thing in THINGS]
    return requests


def with_own_image(request: Request) -> Request:
    """The same request, with nothing to share."""
    return Request([part if isinstance(part, str) else part.copy() for part in request.content])


def rate_alone(model: UnifiedModel, request: Request, option: str) -> Likelihood:
    """One option of one question."""
    ((found,),) = model.loglikelihood([with_own_image(request)], [[option]])
    return found


def best(rated: Sequence[Likelihood]) -> int:
    """The place of the likeliest option."""
    return max(range(len(rated)), key=lambda place: rated[place].logprob)


def report(what: str, count: int, fast: float, slow: float, together: list, alone: list) -> None:
    """Print rate and ratio, and how many answers are the same."""
    same = sum(one == other for one, other in zip(together, alone, strict=True))
    print(f"{what}: {count / fast:.3g} questions/s, ratio {slow / fast:.2f}; {same} of {count} the same")


if __name__ == "__main__":
    main()
