"""Which code is running: part of the evidence of every result."""

import subprocess
from pathlib import Path

# `git archive` inserts the revision here (.gitattributes).
ARCHIVED = "$Format:%H$"


def code_revision() -> str:
    """The git revision of the code, with ``+`` if it has uncommitted changes.

    Outside a checkout it is the revision of the archive that the code was unpacked from, whose changes cannot be
    detected, or ``unknown (no git)``.
    """
    root = Path(__file__).resolve().parent
    try:
        command = ["git", "rev-parse", "--show-toplevel", "HEAD"]
        lines = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.splitlines()
        # The code may be inside a checkout of another project.
        if Path(lines[0]).resolve() == root.parent:
            # New files count, too: a proxy, a task or a family is added by one.
            command = ["git", "--no-optional-locks", "status", "--porcelain", "--untracked-files=normal", "--", "."]
            done = subprocess.run(command, cwd=root, capture_output=True, check=False)
            return lines[1] + ("+" if done.stdout or done.returncode else "")
    except (OSError, subprocess.CalledProcessError):
        pass
    return "unknown (no git)" if ARCHIVED.startswith("$") else f"{ARCHIVED} (archive)"
