"""What commands print, on terminals of other encodings than UTF-8."""

import os
import subprocess
import sys

from tests.conftest import write_study


def test_a_character_that_the_terminal_lacks_ends_no_command(tmp_path):
    write_study(tmp_path, arms=["base"])
    (tmp_path / "config/models/micro.yaml").rename(tmp_path / "config/models/mıcro.yaml")
    done = subprocess.run(
        [sys.executable, "-m", "sgt", "ls", "models"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        encoding="latin-1",
    )
    assert done.returncode == 0, done.stderr
    assert "m\\u0131cro" in done.stdout
