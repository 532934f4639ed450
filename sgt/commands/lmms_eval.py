"""``sgt lmms-eval``: tasks of the harness lmms-eval with one of our models."""

import argparse
from pathlib import Path

from sgt.commands.arguments import require_positive


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt lmms-eval``."""
    parser.add_argument(
        "--model", required=True, help="name of a file in config/models, or folder of a run or of an exported model"
    )
    parser.add_argument("--tasks", required=True, metavar="NAME[,NAME…]", help="of lmms-eval's, or of --include-path")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write: metrics, and every reply")
    parser.add_argument(
        "--data",
        type=_data,
        action="append",
        default=[],
        metavar="TASK=PATH",
        help="read a task's rows from parquet files: a folder, or a pattern of names; repeatable",
    )
    parser.add_argument(
        "--include-path", type=Path, action="append", default=[], help="folder with task files; repeatable"
    )
    parser.add_argument("--limit", type=int, help="take so many rows of each task")


def run(args: argparse.Namespace) -> None:
    """Write the JSON file and print the metrics.

    Raises:
        SgtError: there is no such model or task, or its rows are missing.
    """
    # Only in an environment of its own; without it, the command still has its help.
    from sgt.app.lmms_eval_tasks import evaluate

    if args.limit is not None:
        require_positive(args, "limit")
    tasks = args.tasks.split(",")
    found = evaluate(args.model, tasks, args.out, args.command_line, dict(args.data), args.include_path, args.limit)
    for task, metrics in found.items():
        for name, value in metrics.items():
            # Its standard errors treat rows as independent, also those about one image.
            if isinstance(value, float) and "_stderr" not in name:
                print(f"{task}  {name.removesuffix(',none')}  {value:.4f}")


def _data(text: str) -> tuple[str, Path]:
    task, sign, path = text.partition("=")
    if not (task and sign and path):
        raise argparse.ArgumentTypeError(f"{text!r} does not name a task's rows: write pope=downloads/pope")
    return task, Path(path)
