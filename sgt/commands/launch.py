"""``sgt launch``: a command in as many processes as its model asks for, on one node or several.

The one place that knows how many processes there are and where they meet: on one node at a free port; on several,
where ``srun`` starts one ``sgt launch`` each, on the job's first. Training alone runs in several processes; everything
else is started in one, since it would write every file several times.
"""

import argparse
import os
import shlex
import socket
import sys
from pathlib import Path

from sgt.config.study import ARM_WITHOUT_TRAINING
from sgt.errors import SgtError
from sgt.study.load import load_study
from sgt.training.workers import Place, run_workers

# Jobs that share a node need ports of their own. Below the range from which systems hand out ports.
FIRST_PORT, PORTS = 20000, 10000


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt launch``."""
    parser.add_argument(
        "--nodes", type=int, help="nodes of the SLURM job that this runs in (default: as in the model's file)"
    )
    parser.add_argument(
        "--processes", type=int, help="processes per node (default: one per GPU, as in the model's file)"
    )
    parser.add_argument("--meeting", help=argparse.SUPPRESS)  # HOST:PORT, which it gives to itself on every node
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="train STUDY --model MODEL …")


def run(args: argparse.Namespace) -> None:
    """Start the processes and wait for them; the exit status is theirs, and signals reach them.

    Raises:
        SgtError: the command names no model of a study, runs in one process and more are requested, or several nodes
            are requested outside a SLURM job.
    """
    if not args.words:
        raise SgtError("sgt launch", "no command to start", "add one: `train STUDY --model MODEL …`")
    nodes, processes = _requested(args)
    job = os.environ.get("SLURM_JOB_ID", "")
    if nodes > 1 and not job:
        raise SgtError("sgt launch", f"{nodes} nodes outside a SLURM job", "submit it (PROFILE=slurm), or --nodes 1")
    if nodes == processes == 1:
        _become([sys.executable, "-m", "sgt", *args.words])
    if nodes > 1 and args.meeting is None:
        command = srun_command(nodes, processes, args.words, int(job))
        print(f"$ {shlex.join(command)}", file=sys.stderr, flush=True)
        _become(command)
    place = Place(nodes, processes)
    if nodes > 1:
        host, _, port = args.meeting.rpartition(":")
        place = Place(nodes, processes, int(os.environ["SLURM_NODEID"]), host, int(port))
    status = run_workers(args.words, place)
    if status:
        raise SystemExit(status)


def srun_command(nodes: int, processes: int, words: list[str], job: int) -> list[str]:
    """The command line that starts ``sgt launch`` on every node of a job.

    Args:
        nodes, processes: how many nodes, and processes on each.
        words: the command of ``sgt`` and its arguments.
        job: SLURM's number of the job, which chooses the port of the meeting.
    """
    each = ["srun", "--nodes", str(nodes), "--ntasks", str(nodes), "--ntasks-per-node", "1", "--kill-on-bad-exit=1"]
    # SLURM runs a job's script on its first node, which is this one.
    meeting = f"{socket.gethostname()}:{FIRST_PORT + job % PORTS}"
    here = ["launch", "--nodes", str(nodes), "--processes", str(processes), "--meeting", meeting]
    return [*each, sys.executable, "-m", "sgt", *here, *words]


def _requested(args: argparse.Namespace) -> tuple[int, int]:
    """How many nodes, and processes on each."""
    named = argparse.ArgumentParser(add_help=False)
    named.add_argument("command")
    named.add_argument("study", nargs="?", type=Path)
    named.add_argument("--model")
    named.add_argument("--arm")
    about, _ = named.parse_known_args(args.words)
    if about.command != "train" or about.arm == ARM_WITHOUT_TRAINING:
        nodes, processes = args.nodes or 1, args.processes or 1
        if nodes * processes > 1:
            what = about.command if about.command != "train" else f"train --arm {about.arm}"
            raise SgtError("sgt launch", f"`{what}` runs in one process", "leave out --nodes and --processes")
        return 1, 1
    if about.study is None or about.model is None:
        raise SgtError("sgt launch", "no model to train", "add them: `train STUDY --model MODEL …`")
    needs = load_study(about.study).model(about.model).train
    nodes = needs.nodes if args.nodes is None else args.nodes
    processes = max(1, needs.gpu) if args.processes is None else args.processes
    if min(nodes, processes) < 1:
        raise SgtError("sgt launch", f"{nodes} nodes of {processes} processes", "give 1 or more of each")
    return nodes, processes


def _become(command: list[str]) -> None:
    """Replace this process, so that signals reach the other and its exit status is this one's."""
    os.execvp(command[0], command)
