"""Command line: ``sgt COMMAND …``. A command's module is imported only when it is the one asked for."""

import argparse
import importlib
import logging
import shlex
import sys

from sgt import __version__
from sgt.atomic import naming
from sgt.environment import require_own_packages
from sgt.errors import SgtError, system_error
from sgt.progress import name_work

# name -> (module with `configure(parser)` and `run(args)`, one line of help)
COMMANDS = {
    "check": ("sgt.study.check", "validate a study and list its runs"),
    "adopt": ("sgt.study.adopt", "let the workflow take results that DVC pulled as its own"),
    "base": ("sgt.study.base_weights", "make a model's base weights those that data.dvc names"),
    "schema": ("sgt.study.schema", "print the JSON schema of a study file"),
    "keys": ("sgt.models.keys", "print a model's parameter names, shapes and dtypes"),
    "fetch": ("sgt.data.fetch.command", "fetch a dataset or model at its revision, verified"),
    "toyworld": ("sgt.data.toyworld.command", "make the built-in scenes and questions as shards"),
    "shards": ("sgt.data.sources.command", "make a dataset of a study from what was fetched"),
    "render": ("sgt.proxies.render", "render the targets of one shard"),
    "preview": ("sgt.proxies.preview", "draw a contact sheet of a shard: inputs and targets"),
    "pretrain": ("sgt.training.pretrain", "train a base model from nothing"),
    "launch": ("sgt.launch", "a command in as many processes as its model asks for"),
    "screen": ("sgt.training.screening", "find the samples of a dataset that a study's models cannot take"),
    "train": ("sgt.training.train", "post-train one run of a study"),
    "predict": ("sgt.evaluation.predict", "answer or generate for one run and one benchmark"),
    "demonstrate": ("sgt.evaluation.demonstrate", "a proxy arm makes its targets for a few held-out scenes"),
    "score": ("sgt.evaluation.score", "metrics from predictions"),
    "tables": ("sgt.reporting.tables", "tables from score files"),
    "figures": ("sgt.reporting.figures", "figures from score files"),
    "report": ("sgt.reporting.report", "the report page"),
}


def main(argv: list[str] | None = None) -> int:
    """Run one command.

    What the user can mend, an :class:`SgtError` or what the system refuses (``OSError``), becomes one line on stderr
    and an exit status, in whichever process of the command it happened.
    """
    argv = sys.argv[1:] if argv is None else argv
    name = next((word for word in argv if not word.startswith("-")), None)
    parser = argparse.ArgumentParser(
        prog="sgt", description="What does a visual task teach a unified multimodal model?"
    )
    parser.add_argument("--version", action="version", version=__version__)
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    try:
        require_own_packages()
    except SgtError as error:
        print(f"sgt: error: {error}", file=sys.stderr)
        return error.status
    for command, (module, summary) in COMMANDS.items():
        subparser = subparsers.add_parser(command, help=summary, description=summary)
        if command == name:
            implementation = importlib.import_module(module)
            implementation.configure(subparser)
    args = parser.parse_args(argv)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    # What makes the result again: logged, and kept as evidence beside it.
    args.command_line = shlex.join(["sgt", *argv])
    logging.getLogger("sgt").info("$ %s", args.command_line)
    name_work(_work(args))
    try:
        implementation.run(args)
        with naming("standard output"):
            sys.stdout.flush()
    except SgtError as error:
        return _told(name, error)
    except OSError as error:
        return _told(name, system_error(error))
    return 0


def _work(args: argparse.Namespace) -> str:
    """What a command is at, by which it is told from others that run beside it: the run, the dataset or the shard."""
    given = vars(args)
    if given.get("model"):
        seed = [f"seed{given['seed']}"] if given.get("seed") is not None else []
        run = "/".join([given["model"], *([given["arm"]] if given.get("arm") else []), *seed])
        return f"{run} {given['benchmark']}" if given.get("benchmark") else run
    words = [given[name] for name in ("name", "dataset", "proxy", "source") if name in given] or [given.get("out", "")]
    return " ".join(map(str, words))


def _told(name: str, error: SgtError) -> int:
    print(f"sgt {name}: error: {error}", file=sys.stderr)
    return error.status
