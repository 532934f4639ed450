"""The entry point: ``sgt COMMAND …``."""

import argparse
import importlib
import io
import logging
import os
import select
import shlex
import signal
import sys
from types import ModuleType

from sgt import __version__
from sgt.allocator import keep_freed_memory
from sgt.atomic import naming
from sgt.environment import require_own_packages
from sgt.errors import SgtError, system_error
from sgt.extras import missing_extra
from sgt.progress import log_above_bars, name_work

# Of a command whose output nobody reads any more: that of a process which SIGPIPE ended.
CLOSED_STATUS = 141
# Each is a module of this package, with `configure(parser)` and `run(args)`: one line of help, and an example.
COMMANDS = {
    "check": (
        "validate a study and list its runs",
        "sgt check config/tiny.yaml",
    ),
    "ls": (
        "list runs, models, tasks, proxies and datasets with their state",
        "sgt ls runs",
    ),
    "info": (
        "what is known about one run: recipe, losses, scores, evidence",
        "sgt info bagel-tiny/segmentation/seed0",
    ),
    "ask": (
        "ask a run or a released checkpoint a question about a picture",
        "sgt ask bagel-tiny/segmentation/seed0 scenes/test-000003.jpg 'what colour is the cube ?' --options green red",
    ),
    "draw": (
        "draw with a run or a released checkpoint, from a prompt or a picture",
        "sgt draw bagel-tiny/segmentation/seed0 --image photo.jpg -o out.png",
    ),
    "app": (
        "compare a study's arms on a picture, in a browser",
        "sgt app config/tiny.yaml",
    ),
    "adopt": (
        "let the workflow take results that DVC pulled as its own",
        "sgt adopt config/tiny.yaml",
    ),
    "base": (
        "fetch a model's base weights as data.dvc names them",
        "sgt base data/base/bagel-tiny",
    ),
    "schema": (
        "print the JSON schema of a study file or of evidence.json",
        "sgt schema > config/study.schema.json",
    ),
    "tensors": (
        "print the names, shapes and dtypes of a model's tensors",
        "sgt tensors bagel-tiny > tensors.json",
    ),
    "fetch": (
        "fetch a dataset or model at its revision, verified",
        "sgt fetch coco-2017 --into downloads",
    ),
    "toyworld": (
        "make the built-in scenes and questions as shards",
        "sgt toyworld scenes --split test --scenes 100",
    ),
    "shards": (
        "make a dataset of a study from what was fetched",
        "sgt shards config/paper.yaml coco-2k",
    ),
    "render": (
        "render the targets of a shard, or of pictures",
        "sgt render segmentation scenes/shard-00000.tar targets.tar",
    ),
    "preview": (
        "draw a contact sheet of a shard, or of pictures: inputs and targets",
        "sgt preview scenes/shard-00000.tar sheet.png --proxies segmentation,depth",
    ),
    "pretrain": (
        "train a base model from nothing",
        "sgt pretrain config/tiny.yaml --model bagel-tiny --out results/tiny/base/bagel-tiny",
    ),
    "accept": (
        "check that a pretrained base model is good enough to post-train",
        "sgt accept config/tiny.yaml --model bagel-tiny",
    ),
    "launch": (
        "run a command in as many processes as its model needs",
        "sgt launch train config/tiny.yaml --model bagel-tiny --arm depth --seed 0",
    ),
    "screen": (
        "find the samples of a dataset that a study's models cannot take",
        "sgt screen config/tiny.yaml scenes",
    ),
    "train": (
        "post-train one run of a study",
        "sgt train config/tiny.yaml --model bagel-tiny --arm depth --seed 0",
    ),
    "predict": (
        "answer or generate for one run and one benchmark",
        "sgt predict config/tiny.yaml --model bagel-tiny --arm depth --seed 0 --benchmark toyworld-qa",
    ),
    "treatment": (
        "measure whether a proxy arm learned its proxy",
        "sgt treatment config/tiny.yaml --model bagel-tiny --arm depth --seed 0",
    ),
    "judge": (
        "judge predictions of a benchmark that needs a detector or a judge",
        "sgt judge config/paper.yaml --benchmark dpg-bench",
    ),
    "score": (
        "metrics from predictions",
        "sgt score config/tiny.yaml --model bagel-tiny --arm depth --seed 0 --benchmark toyworld-qa",
    ),
    "lmms-eval": (
        "run tasks of the harness lmms-eval with one of our models",
        "sgt lmms-eval --model bagel-tiny --tasks mmstar --data mmstar=downloads/mmstar --out mmstar.json",
    ),
    "probe": (
        "measure what linear probes read off each layer of a run's model",
        "sgt probe config/tiny.yaml --model bagel-tiny --arm depth --seed 0",
    ),
    "transplant": (
        "put parts of one run's model into another's",
        "sgt transplant config/small.yaml --model bagel-tiny --arm eyes --seed 0",
    ),
    "attend": (
        "measure what a run's model attends to, layer by layer",
        "sgt attend config/tiny.yaml --model bagel-tiny --arm depth --seed 0",
    ),
    "ablate": (
        "ask questions with what text reads from images ablated in some layers",
        "sgt ablate config/small.yaml --model bagel-tiny --arm depth --seed 0",
    ),
    "tables": (
        "tables from score files",
        "sgt tables config/tiny.yaml",
    ),
    "figures": (
        "figures from score files",
        "sgt figures config/tiny.yaml",
    ),
    "evidence": (
        "what lies behind every cell of the tables",
        "sgt evidence config/tiny.yaml",
    ),
    "trace": (
        "the chain from one cell of a table back to its data",
        "sgt trace config/tiny.yaml main bagel-tiny/edge perception",
    ),
    "reproduce": (
        "make the number of one cell again, and compare it",
        "sgt reproduce config/tiny.yaml main bagel-tiny/edge perception --from predictions",
    ),
    "crate": (
        "describe a study's results as an RO-Crate, for other tools",
        "sgt crate config/tiny.yaml",
    ),
    "verify": (
        "check every hash of every record of a study",
        "sgt verify config/tiny.yaml",
    ),
    "report": (
        "the report page",
        "sgt report config/tiny.yaml",
    ),
    "export": (
        "a run as a folder that a model hub takes",
        "sgt export config/tiny.yaml --model bagel-tiny --arm depth --seed 0 --out release",
    ),
    "publish": (
        "upload an exported run to a model hub",
        "sgt publish release --to owner/name --upload",
    ),
    "bundle": (
        "a study's tables, figures and references for a paper",
        "sgt bundle config/tiny.yaml --out paper",
    ),
}


def command_module(name: str) -> ModuleType:
    """The module of a command; imported only when it is run, since some take seconds to import."""
    return importlib.import_module(f"sgt.commands.{name.replace('-', '_')}")


def make_parser(*names: str | None) -> argparse.ArgumentParser:
    """The parser of the command line; only the named commands are imported and have their arguments."""
    parser = argparse.ArgumentParser(
        prog="sgt",
        description="What does a visual task teach a unified multimodal model?",
        epilog="`sgt COMMAND --help` lists a command's arguments, with an example.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (summary, example) in COMMANDS.items():
        subparser = subparsers.add_parser(
            name,
            help=summary,
            description=summary,
            epilog=f"example:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name in names:
            command_module(name).configure(subparser)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command.

    Errors that the user can fix, an :class:`SgtError`, a refusal by the system (``OSError``) or an extra that is not
    installed, become one line on stderr and an exit status, in whichever process of the command they happen. So does
    Ctrl-C, with the status that a shell gives it.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        # As stderr does it: a character that the terminal's encoding lacks ends no command after hours of work.
        sys.stdout.reconfigure(errors="backslashreplace")
    argv = sys.argv[1:] if argv is None else argv
    name = next((word for word in argv if not word.startswith("-")), None)
    try:
        require_own_packages()
    except SgtError as error:
        return _print_error("sgt", error)
    try:
        _run(argv, make_parser(name).parse_args(argv))
    except SgtError as error:
        return _print_error(f"sgt {name}", error)
    except OSError as error:
        if isinstance(error, BrokenPipeError) and _output_was_closed():
            return CLOSED_STATUS
        return _print_error(f"sgt {name}", system_error(error))
    except ModuleNotFoundError as error:
        missing = missing_extra(error)
        if missing is None:
            raise
        return _print_error(f"sgt {name}", missing)
    except KeyboardInterrupt:
        print(f"sgt {name}: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    return 0


def _run(argv: list[str], args: argparse.Namespace) -> None:
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    # The command that reproduces the result: logged, and recorded with it as evidence.
    args.command_line = shlex.join(["sgt", *argv])
    logging.getLogger("sgt").info("$ %s", args.command_line)
    name_work(_work(args))
    keep_freed_memory()
    with log_above_bars():
        command_module(args.command).run(args)
    with naming("standard output"):
        sys.stdout.flush()


def _work(args: argparse.Namespace) -> str:
    """What a command works on, to tell its output from that of others: the run, the dataset or the shard."""
    given = vars(args)
    if given.get("model"):
        seed = [f"seed{given['seed']}"] if given.get("seed") is not None else []
        run = "/".join([given["model"], *([given["arm"]] if given.get("arm") else []), *seed])
        part = given.get("benchmark") or given.get("analysis")
        return f"{run} {part}" if part else run
    words = [given[name] for name in ("name", "dataset", "proxy", "source") if name in given] or [given.get("out", "")]
    return " ".join(" ".join(map(str, word)) if isinstance(word, list) else str(word) for word in words)


def _output_was_closed() -> bool:
    """Whether the reader of standard output has gone, as in ``sgt ls | head``, which is no error.

    If so, what is left to write is discarded, since Python would report it when it exits.
    """
    output = sys.stdout.fileno()
    poll = select.poll()
    poll.register(output, 0)
    closed = any(event & select.POLLERR for _, event in poll.poll(0))
    if closed:
        os.dup2(os.open(os.devnull, os.O_WRONLY), output)
    return closed


def _print_error(command: str, error: SgtError) -> int:
    print(f"{command}: error: {error}", file=sys.stderr)
    return error.status
