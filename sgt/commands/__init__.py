"""The command line: a file per command with ``configure(parser)`` and ``run(args)``; other rooms do the work."""

# So that studies can name tasks: see sgt.config.benchmarks.
import sgt.evaluation.tasks  # noqa: F401
