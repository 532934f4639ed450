"""The command line: a file per command with ``configure(parser)`` and ``run(args)``; other rooms do the work."""
