"""``sgt ask``: a question about a picture, to a run or a released checkpoint."""

import argparse
from pathlib import Path

from sgt.app.columns import aligned
from sgt.app.interactive import MAX_NEW_TOKENS
from sgt.app.open import open_by_name
from sgt.app.pictures import read_picture
from sgt.commands.arguments import add_model_by_name, require_positive, use_its_threads


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt ask``."""
    add_model_by_name(parser)
    parser.add_argument("image", type=Path, help="JPEG, PNG, WebP, GIF, BMP or TIFF")
    parser.add_argument("question")
    parser.add_argument("--options", nargs="+", metavar="TEXT", help="also print how likely each is as the answer")
    parser.add_argument("--system", help="a text before everything else")
    parser.add_argument("--max-new-tokens", type=int, default=MAX_NEW_TOKENS, help="of the reply (%(default)s)")
    parser.add_argument("--temperature", type=float, default=0.0, help="0 takes the most likely token (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the draws at a temperature above 0 (%(default)s)")


def run(args: argparse.Namespace) -> None:
    """Print the reply and, with options, the log-probability of each.

    Raises:
        SgtError: no run or model has the name, its weights or the picture cannot be read, or the request is too long.
    """
    require_positive(args, "max_new_tokens")
    picture = read_picture(args.image)
    model = open_by_name(args.name, args.of_study)
    use_its_threads(model)
    reply = model.answer(
        args.question,
        picture,
        system=args.system,
        max_new_tokens=args.max_new_tokens,
        temperature=args.temperature,
        seed=args.seed,
    )
    print(reply.text)
    if args.options:
        rated = model.rate(args.question, args.options, picture, system=args.system)
        rows = [(each.option, f"{each.logprob:.3f}", f"{each.share:.1%}") for each in rated]
        print(aligned([("option", "log-probability", "share"), *rows]))
