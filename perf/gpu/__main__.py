"""See :mod:`perf.gpu`."""

from perf.gpu.command import main

main()
