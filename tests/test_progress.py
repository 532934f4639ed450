"""Progress: a bar on a terminal, lines in a log, and messages and errors above the bar."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

SCRIPT = """
import logging, sys
from sgt.progress import Progress, log_above_bars
logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
with log_above_bars():
    progress = Progress("scenes", 4, done=1)
    progress.add(note="loss 0.5")
    logging.getLogger("sgt").info("left out: one")
    progress.add(2 if sys.argv[1] == "whole" else 1)
print("the end", file=sys.stderr)
"""


def on_a_terminal(how: str, width: int = 100) -> str:
    """What the script prints to a terminal of some columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    command = [sys.executable, "-c", SCRIPT, how]
    with subprocess.Popen(command, stderr=theirs, env={**os.environ, "TERM": "xterm"}) as process:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 4096):
                shown += part
        except OSError:  # Linux gives it in place of the end of the file.
            pass
        os.close(ours)
    assert process.returncode == 0, shown
    return shown.decode()


def test_a_terminal_shows_a_bar_with_messages_above_it():
    shown = on_a_terminal("whole")
    assert re.search(r"scenes: 100%\|█+\| 4/4 \[", shown) and "scenes 4/4" not in shown
    # Each on a line of its own, not behind the bar.
    lines = [re.split(r"[\r\n]", line)[-1] for line in shown.split("\r\n")]
    assert "left out: one" in lines and "the end" in lines


def test_a_bar_that_is_not_full_is_closed_before_anything_else_is_printed():
    shown = on_a_terminal("part")
    assert "3/4" in shown and "the end" in shown.split("\r\n")


def test_a_log_has_lines_and_no_bar():
    command = [sys.executable, "-c", SCRIPT, "whole"]
    shown = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=True).stderr
    assert re.fullmatch(r"left out: one\nscenes 4/4  \S+/s  0 s left  \nthe end\n", shown)


def test_a_terminal_of_unknown_width_has_lines():
    assert "scenes 4/4  " in on_a_terminal("whole", width=0)
