"""``sgt launch``: a command in as many processes as its model asks for, on one node or several.

The one place that knows how processes find each other: on one node through torchrun's own rendezvous, on several with
one torchrun per node, started by ``srun`` inside the job, that meet on the job's first node.
"""

import argparse
import os
import shlex
import socket
import sys
from pathlib import Path

from sgt.errors import SgtError
from sgt.study.load import load_study

# Jobs that share a node need ports of their own. Below the range from which systems hand out ports.
FIRST_PORT, PORTS = 20000, 10000


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt launch``."""
    parser.add_argument("--nodes", type=int, help="nodes (of the SLURM job this is called in); as the model says")
    parser.add_argument("--processes", type=int, help="processes per node; as the model says: one per GPU")
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="train STUDY --model MODEL …")


def run(args: argparse.Namespace) -> None:
    """Become the launcher, so that signals reach it and its exit status is the command's.

    Raises:
        SgtError: the command names no model of a study, or several nodes are asked for outside a SLURM job.
    """
    named = argparse.ArgumentParser(add_help=False)
    named.add_argument("command", nargs="?")
    named.add_argument("study", nargs="?", type=Path)
    named.add_argument("--model")
    about, _ = named.parse_known_args(args.words)
    if about.study is None or about.model is None:
        raise SgtError("sgt launch", "no command to start", "add one: `train STUDY --model MODEL …`")
    needs = load_study(about.study).model(about.model).train
    nodes = needs.nodes if args.nodes is None else args.nodes
    processes = max(1, needs.gpu) if args.processes is None else args.processes
    if min(nodes, processes) < 1:
        raise SgtError("sgt launch", f"{nodes} nodes of {processes} processes", "give 1 or more of each")
    job = os.environ.get("SLURM_JOB_ID")
    if nodes > 1 and job is None:
        raise SgtError("sgt launch", f"{nodes} nodes outside a SLURM job", "submit it (PROFILE=slurm), or --nodes 1")
    command = launch_command(nodes, processes, args.words, int(job or 0))
    if nodes * processes > 1:
        print(f"$ {shlex.join(command)}", file=sys.stderr, flush=True)
    os.execvp(command[0], command)


def launch_command(nodes: int, processes: int, words: list[str], job: int) -> list[str]:
    """The command line that starts ``sgt WORDS`` in ``nodes × processes`` processes.

    Args:
        nodes, processes: how many nodes, and processes on each.
        words: the command of ``sgt`` and its arguments.
        job: SLURM's number of the job, which names the rendezvous and chooses its port.
    """
    python = [sys.executable, "-m"]
    if nodes == processes == 1:
        return [*python, "sgt", *words]
    torchrun = [*python, "torch.distributed.run", "--nproc-per-node", str(processes)]
    if nodes == 1:
        return [*torchrun, "--standalone", "-m", "sgt", *words]
    # SLURM runs a job's script on its first node, which is this one.
    meeting = f"{socket.gethostname()}:{FIRST_PORT + job % PORTS}"
    rendezvous = ["--nnodes", str(nodes), "--rdzv-backend", "c10d", "--rdzv-id", str(job), "--rdzv-endpoint", meeting]
    each = ["srun", "--nodes", str(nodes), "--ntasks", str(nodes), "--ntasks-per-node", "1", "--kill-on-bad-exit=1"]
    return [*each, *torchrun, *rendezvous, "-m", "sgt", *words]
