"""What DVC keeps: the base weights of ``data.dvc``, and the results of the study that ``dvc.yaml`` names."""

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

from sgt.config.files import load_yaml
from sgt.errors import SgtError
from sgt.study.loaded import LoadedStudy

BASE_DATA = Path("data.dvc")
PIPELINE = Path("dvc.yaml")
# DVC's object folders in a clone: its cache, and the remote that comes with it.
OBJECTS = (Path(".dvc/cache/files/md5"), Path("store/files/md5"))
# Set by `dvc repro` and `dvc exp run` for the command of a stage: its name.
STAGE = "DVC_STAGE"


def is_versioned(folder: Path, files: Sequence[str]) -> bool:
    """Whether ``data.dvc`` holds these files of a folder; where DVC's list of it is not here, whether it could.

    Raises:
        SgtError: ``data.dvc``, or the list, is damaged.
    """
    if not BASE_DATA.exists():
        return False
    try:
        for out in load_yaml(BASE_DATA)["outs"]:
            if folder.is_relative_to(out["path"]):
                inside, listed = folder.relative_to(out["path"]), _listed(out["md5"])
                return listed is None or all((inside / file).as_posix() in listed for file in files)
    except (ValueError, KeyError, TypeError) as error:
        problem = f"not a file that `dvc add` wrote, or its list of files is damaged ({error!r})"
        raise SgtError(BASE_DATA, problem, "restore both from the repository") from None
    return False


def _listed(digest: str) -> set[str] | None:
    for objects in OBJECTS:
        path = objects / digest[:2] / digest[2:]
        if path.exists():
            return {entry["relpath"] for entry in json.loads(path.read_text(encoding="utf-8"))}
    return None


def require_versionable(study: LoadedStudy) -> None:
    """Where DVC runs the study, check that it will accept the results; it would refuse them only at the end.

    Raises:
        SgtError: it would not: ``dvc.yaml`` names another folder, or a link leads there.
    """
    stage = os.environ.get(STAGE, "").rpartition(":")[2]
    if not stage:
        return
    where = f"{study.path}: results"
    for out in _outs(stage):
        if out.parent != study.results:
            problem = f"{study.results} is not where {PIPELINE} has the results ({out})"
            raise SgtError(
                where, problem, "name this study in dvc.yaml, or its folder here; `make study` needs neither"
            )
        for part in (*reversed(out.parents), out):
            if part.is_symlink():
                remedy = "make it a folder and move DVC's cache instead (docs/versions.md), or run `make study` alone"
                raise SgtError(where, f"DVC follows no link, and {part} is one", remedy)


def _outs(stage: str) -> list[Path]:
    """The folders of results of a stage, as its templates give them."""
    pipeline = load_yaml(PIPELINE) if PIPELINE.exists() else {}
    values: dict[str, str] = {}
    for entry in pipeline.get("vars", []):
        values |= entry if isinstance(entry, dict) else {}
    outs = pipeline.get("stages", {}).get(stage, {}).get("outs", [])
    templates = [next(iter(out)) if isinstance(out, dict) else out for out in outs]
    return [Path(re.sub(r"\$\{(\w+)\}", lambda found: str(values[found[1]]), text)) for text in templates]
