"""Killed at random moments, while it saves too: the same bits as a run that was not."""

import re
import subprocess
import sys

from tests.training.conftest import ROOT

KILLS = 22


def test_twenty_kills_change_no_bit(study):
    script = ROOT / "benchmarks" / "kill_training.py"
    words = [str(study), "--model", "micro", "--arm", "segmentation", "--steps", "12", "--kills", str(KILLS)]
    done = subprocess.run([sys.executable, script, *words], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    kills, saving = map(int, re.search(r": (\d+) kills, (\d+) while saving", done.stdout).groups())
    assert kills == KILLS and saving > 0, done.stdout
    assert done.stdout.rstrip().endswith("identical")
