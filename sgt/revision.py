"""Which code is running: part of the evidence of every result."""

import subprocess
from pathlib import Path

# `git archive` puts the revision here (.gitattributes).
ARCHIVED = "$Format:%H$"


def code_revision() -> str:
    """The git revision of the code, with ``+`` if it was changed since.

    Outside a checkout it is that of the archive that the code came in, whose changes nobody knows, or
    ``unknown (no git)``.
    """
    root = Path(__file__).resolve().parent
    try:
        command = ["git", "rev-parse", "--show-toplevel", "HEAD"]
        told = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.splitlines()
        # A checkout of something else may lie around the code.
        if Path(told[0]).resolve() == root.parent:
            dirty = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", root], cwd=root, check=False).returncode
            return told[1] + ("+" if dirty else "")
    except (OSError, subprocess.CalledProcessError):
        pass
    return "unknown (no git)" if ARCHIVED.startswith("$") else f"{ARCHIVED} (archive)"
