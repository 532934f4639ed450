"""A results folder belongs to one study: ``study.json`` in it says to which, from the first use on."""

import json
import os
from pathlib import Path

from sgt.atomic import atomic_path
from sgt.errors import SgtError
from sgt.study.loaded import LoadedStudy

OWNER = "study.json"


def require_own_results(study: LoadedStudy) -> None:
    """Check that the results folder is not another study's. Nothing is written.

    Raises:
        SgtError: it is.
    """
    owner, name = _owner(study.results), study.study.name
    if owner is not None and owner != name:
        remedy = f"give this study a folder of its own (results: results/{name}); if it was renamed, delete"
        where = f"{study.path}: results"
        raise SgtError(where, f"{study.results} holds study {owner!r}, not {name!r}", f"{remedy} {OWNER} there")


def claim_results(study: LoadedStudy) -> None:
    """Record that the results folder is this study's; of two studies that do so at once, one is refused.

    Raises:
        SgtError: the folder is another study's, or cannot be made.
    """
    require_own_results(study)
    record = study.results / OWNER
    if record.exists():
        return
    proposed = record.with_name(f".{OWNER}.{os.getpid()}")
    try:
        with atomic_path(proposed) as temporary:
            temporary.write_text(json.dumps({"name": study.study.name}) + "\n", encoding="utf-8")
        try:
            # Unlike a rename, a link never takes the place of a record that another study has just written.
            os.link(proposed, record)
        except FileExistsError:
            require_own_results(study)
        except OSError:  # a file system without links
            os.replace(proposed, record)
        finally:
            proposed.unlink(missing_ok=True)
    except OSError as error:
        raise SgtError(f"{study.path}: results", f"{record} cannot be written ({error.strerror})", "fix that") from None


def _owner(results: Path) -> str | None:
    record = results / OWNER
    try:
        name = json.loads(record.read_text(encoding="utf-8"))["name"]
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SgtError(record, f"does not say whose results these are ({error!r})", "delete it") from None
    return name
