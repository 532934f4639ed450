"""``sgt draw``: an image from a run or a released checkpoint, of a prompt or of a picture."""

import argparse
import re
from dataclasses import replace
from pathlib import Path

from sgt.app.interactive import InteractiveRun
from sgt.app.open import open_by_name
from sgt.app.pictures import read_picture
from sgt.atomic import atomic_path
from sgt.commands.arguments import add_model_by_name, require_positive, use_its_threads
from sgt.data.images import encode_png
from sgt.errors import SgtError


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt draw``."""
    add_model_by_name(parser)
    parser.add_argument(
        "prompt", nargs="?", help="without it, a run of a proxy arm draws its target of the picture, as its proxy asks"
    )
    parser.add_argument("--image", type=Path, help="the input picture")
    parser.add_argument("-o", "--out", type=Path, required=True, help="PNG file")
    parser.add_argument("--edit", action="store_true", help="edit the picture, as released checkpoints are meant to")
    parser.add_argument("--size", type=_size, metavar="WxH", help="pixels (of the picture; else the largest square)")
    parser.add_argument("--steps", type=int, help="of the sampler (as the study's benchmark of images; else 49)")
    parser.add_argument(
        "--guidance", type=float, help="scale of guidance by the prompt; 1: none (as for steps; else 4)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the noise (%(default)s)")


def run(args: argparse.Namespace) -> None:
    """Write the image.

    Raises:
        SgtError: no run or model has the name, its weights or the picture cannot be read, or there is nothing to draw.
    """
    if args.out.suffix.lower() != ".png":
        raise SgtError(args.out, "images are written as PNG", "let its name end in .png")
    if args.steps is not None:
        require_positive(args, "steps")
    picture = read_picture(args.image) if args.image else None
    if args.prompt is None and picture is None:
        raise SgtError("prompt", "missing", "give a prompt, or --image to a run of a proxy arm")
    model = open_by_name(args.name, args.of_study)
    use_its_threads(model)
    given = {"num_steps": args.steps, "cfg_text_scale": args.guidance}
    chosen = {name: value for name, value in given.items() if value is not None}
    sampling = replace(model.default_sampling(picture is not None), **chosen)
    if args.prompt is not None:
        image = model.draw(args.prompt, picture, edit=args.edit, size=args.size, sampling=sampling, seed=args.seed)
    elif isinstance(model, InteractiveRun) and picture is not None:
        image = model.draw_target(picture, size=args.size, sampling=sampling, seed=args.seed)
    else:
        raise SgtError("prompt", f"missing, and {model.name} is no run of a proxy arm", "give a prompt")
    with atomic_path(args.out) as temporary:
        temporary.write_bytes(encode_png(image))
    print(f"{args.out}: {image.width}x{image.height} pixels")


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no size: write 1024x768")
    return int(match[1]), int(match[2])
