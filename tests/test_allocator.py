"""Memory that large arrays free is used again, not mapped and cleared anew."""

import platform
import subprocess
import sys

import pytest

ROUNDS, BYTES, PAGE = 40, 8 * 2**20, 4096
SCRIPT = f"""
import resource, sys
import numpy as np
from sgt.allocator import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range({ROUNDS}):
    # As the layers of a model do: one large block and a few that grow beside it.
    arrays = [np.ones({BYTES} // 8) for _ in range(3)]
    del arrays
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_pages_are_mapped_once():
    def faults(how: str) -> int:
        return int(
            subprocess.run([sys.executable, "-c", SCRIPT, how], capture_output=True, check=True, text=True).stdout
        )

    # Three blocks, once.
    assert faults("kept") < 4 * BYTES / PAGE
