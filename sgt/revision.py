"""Which code is running: part of the evidence of every result."""

import subprocess
from pathlib import Path


def code_revision() -> str:
    """The git revision of the code, with ``+`` if it was changed since; ``unknown`` outside a checkout."""
    root = Path(__file__).parent
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True)
        dirty = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", root], cwd=root, check=False).returncode
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + ("+" if dirty else "")
