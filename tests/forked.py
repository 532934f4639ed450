"""Commands in forked processes: these start with everything imported, which is most of the time of a short command."""

import multiprocessing
import os
import resource
import sys
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from sgt.commands.main import main

# Its processes start with everything imported, and before torch has started any threads. A process has one fork server.
FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(
    [
        "sgt.training.train",
        "accelerate",
        "transformers.models.qwen2_5_vl.modeling_qwen2_5_vl",
        "snakemake.cli",
        "snakemake_executor_plugin_slurm",
        "sgt.reporting.console",
        "sgt.study.reconcile",
    ]
)


def sgt(words: Sequence[str], folder: Path, **limits: int) -> tuple[int, str]:
    """Run a command of ``sgt``; see :func:`_run`."""
    return _run(main, words, folder, os.environ, limits)


def snakemake(words: Sequence[str], folder: Path, environment: Mapping[str, str]) -> tuple[int, str]:
    """Run Snakemake; its jobs are processes as ever. See :func:`_run`."""
    return _run(_snakemake, words, folder, environment, {})


def settle(folder: Path, environment: Mapping[str, str]) -> None:
    """Make this forked process like one that was started in a folder, with these environment variables alone."""
    # Its worker processes start as those of a process that was not forked.
    multiprocessing.set_start_method(None, force=True)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)


def _snakemake(words: list[str]) -> int:
    from snakemake.cli import main

    # Snakemake's log names the command.
    sys.argv = ["snakemake", *words]
    return main(words)


def _run(
    command: Callable[[list[str]], int],
    words: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    limits: Mapping[str, int],
) -> tuple[int, str]:
    """Run a command in a forked process.

    Args:
        command: returns the exit status, or raises ``SystemExit``.
        words: its arguments.
        folder: its working directory.
        environment: all its environment variables.
        limits: of the process, by the name of a resource: ``RLIMIT_FSIZE`` in bytes.

    Returns:
        The exit status, and its output on both streams in order.
    """
    reader, writer = FORKED.Pipe(duplex=False)
    arguments = (command, list(words), folder, dict(environment), dict(limits), writer)
    process = FORKED.Process(target=_start, args=arguments)
    process.start()
    writer.close()
    with reader, open(reader.fileno(), closefd=False) as lines:
        output = lines.read()
    process.join()
    return process.exitcode, output


def _start(
    command: Callable[[list[str]], int],
    words: list[str],
    folder: Path,
    environment: dict[str, str],
    limits: dict[str, int],
    output: Connection,
) -> None:
    settle(folder, environment)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(output.fileno(), stream.fileno())
    output.close()
    for name, limit in limits.items():
        resource.setrlimit(getattr(resource, name), (limit, limit))
    sys.exit(command(words))
