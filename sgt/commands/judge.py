"""``sgt judge``: what a benchmark's evaluator makes of the predictions of one run, or of all runs in turn."""

import argparse
import signal
from types import FrameType

from sgt.commands.arguments import add_limit, add_study, limited_benchmark, shard
from sgt.errors import Interrupted, SgtError
from sgt.evaluation.judge import judge_benchmark
from sgt.signals import STOP_SIGNALS, listen
from sgt.study.load import load_study


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt judge``."""
    add_study(parser)
    parser.add_argument(
        "--model", help="with --arm and --seed, of the run; without, all runs are judged row by row in turn"
    )
    parser.add_argument("--arm")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--benchmark", required=True)
    add_limit(parser)
    parser.add_argument(
        "--shard",
        type=shard,
        metavar="I/N",
        help="judge the I-th of N shares alone; a call without it then joins them",
    )


def run(args: argparse.Namespace) -> None:
    """Write ``results/judgements/RUN/BENCHMARK/``.

    Raises:
        SgtError: some of the coordinates of a run are missing, or the limit is below 1.
    """
    study = load_study(args.study)
    given = (args.model, args.arm, args.seed)
    if None not in given:
        runs = [study.run(*given, transplants=True)]
    elif given == (None, None, None):
        runs = study.evaluated_runs
    else:
        raise SgtError("sgt judge", "a run has a model, an arm and a seed", "give all three, or none for all runs")
    benchmark = limited_benchmark(study, args)
    listen(STOP_SIGNALS, _stop)
    judge_benchmark(study, runs, benchmark, args.command_line, args.shard)


def _stop(number: int, frame: FrameType | None) -> None:
    """End the work, so that replies that are on their way are waited for and kept; a second signal ends it at once.

    Raises:
        Interrupted: always.
    """
    signal.signal(number, signal.SIG_DFL)
    raise Interrupted("sgt judge", f"stopped by {signal.Signals(number).name}", "the same command continues it")
