"""The entry point: ``sgt COMMAND …``."""

import argparse
import importlib
import logging
import shlex
import sys
from types import ModuleType

from sgt import __version__
from sgt.atomic import naming
from sgt.environment import require_own_packages
from sgt.errors import SgtError, system_error
from sgt.progress import name_work

# Each is a module of this package, with `configure(parser)` and `run(args)`; and one line of help.
COMMANDS = {
    "check": "validate a study and list its runs",
    "adopt": "let the workflow take results that DVC pulled as its own",
    "base": "fetch a model's base weights as data.dvc names them",
    "schema": "print the JSON schema of a study file",
    "tensors": "print the names, shapes and dtypes of a model's tensors",
    "fetch": "fetch a dataset or model at its revision, verified",
    "toyworld": "make the built-in scenes and questions as shards",
    "shards": "make a dataset of a study from what was fetched",
    "render": "render the targets of one shard",
    "preview": "draw a contact sheet of a shard: inputs and targets",
    "pretrain": "train a base model from nothing",
    "launch": "run a command in as many processes as its model needs",
    "screen": "find the samples of a dataset that a study's models cannot take",
    "train": "post-train one run of a study",
    "predict": "answer or generate for one run and one benchmark",
    "sample-targets": "make the targets of a proxy arm for a few held-out scenes",
    "score": "metrics from predictions",
    "tables": "tables from score files",
    "figures": "figures from score files",
    "report": "the report page",
}


def command_module(name: str) -> ModuleType:
    """The module of a command; imported only when it is run, since some take seconds to import."""
    return importlib.import_module(f"sgt.commands.{name.replace('-', '_')}")


def main(argv: list[str] | None = None) -> int:
    """Run one command.

    Errors that the user can fix, an :class:`SgtError` or a refusal by the system (``OSError``), become one line on
    stderr and an exit status, in whichever process of the command they happen.
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
    for command, summary in COMMANDS.items():
        subparser = subparsers.add_parser(command, help=summary, description=summary)
        if command == name:
            implementation = command_module(command)
            implementation.configure(subparser)
    args = parser.parse_args(argv)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    # The command that reproduces the result: logged, and recorded with it as evidence.
    args.command_line = shlex.join(["sgt", *argv])
    logging.getLogger("sgt").info("$ %s", args.command_line)
    name_work(_work(args))
    try:
        implementation.run(args)
        with naming("standard output"):
            sys.stdout.flush()
    except SgtError as error:
        return _print_error(name, error)
    except OSError as error:
        return _print_error(name, system_error(error))
    return 0


def _work(args: argparse.Namespace) -> str:
    """What a command works on, to tell its output from that of others: the run, the dataset or the shard."""
    given = vars(args)
    if given.get("model"):
        seed = [f"seed{given['seed']}"] if given.get("seed") is not None else []
        run = "/".join([given["model"], *([given["arm"]] if given.get("arm") else []), *seed])
        return f"{run} {given['benchmark']}" if given.get("benchmark") else run
    words = [given[name] for name in ("name", "dataset", "proxy", "source") if name in given] or [given.get("out", "")]
    return " ".join(map(str, words))


def _print_error(name: str, error: SgtError) -> int:
    print(f"sgt {name}: error: {error}", file=sys.stderr)
    return error.status
