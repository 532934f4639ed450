"""Rendering the targets of pictures in files of their own."""

from collections.abc import Sequence
from pathlib import Path

from sgt.atomic import atomic_path, write_json
from sgt.data.names import escaped
from sgt.data.pictures import PictureFile, keys_of, read_pictures
from sgt.data.shards import IMAGE_SUFFIXES
from sgt.errors import SgtError
from sgt.progress import Progress
from sgt.proxies.base import Proxy
from sgt.proxies.render import rendered
from sgt.proxies.targets_report import TargetsReport

REPORT = "report.json"


def render_pictures(proxy: Proxy, files: Sequence[PictureFile], out: Path, max_bad: float) -> None:
    """Write ``KEY.png`` for each picture into a folder, and ``report.json`` last.

    A target that is the picture itself keeps the picture's file, with its suffix. Targets of pictures that could be
    rendered stay in the folder if too many others could not.

    Args:
        proxy: it must not need annotations.
        files: the pictures.
        out: folder, which is made if need be.
        max_bad: share of the pictures that may be refused.

    Raises:
        SgtError: the proxy needs annotations, a target would be among the pictures, or too many were refused.
    """
    if proxy.needs:
        problem = f"needs {' and '.join(proxy.needs)} beside each image, which pictures alone do not have"
        raise SgtError(proxy.name, problem, "let a model make them (docs/own-pictures.md), or render a shard")
    _check_apart(files, out)
    report, progress = TargetsReport(), Progress("targets", len(files))
    names = {key: escaped(file.name) for key, file in zip(keys_of(files), files, strict=True)}
    (out / REPORT).unlink(missing_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    for picture, target in rendered(proxy, read_pictures(files), report, progress):
        ((suffix, content),) = target.items()
        suffix = picture.path.suffix.lower() if suffix == "jpg" else f".{suffix}"
        with atomic_path(out / f"{picture.key}{suffix}") as temporary:
            temporary.write_bytes(content)
    report.check_refused(max_bad)
    about = {"identity": proxy.identity, "proxy": proxy.name, "pictures": names}
    write_json(out / REPORT, {**about, **report.fields()})


def _check_apart(files: Sequence[PictureFile], out: Path) -> None:
    """See that targets have a folder, and that none replaces a picture or is taken for one the next time.

    Raises:
        SgtError: the folder of targets is, or lies in, a folder with pictures; or it is, or has the name of, a file.
    """
    named_as_file = out.suffix.lower().removeprefix(".") in (*IMAGE_SUFFIXES, "tar")
    if not out.is_dir() and (out.exists() or named_as_file):
        problem = "is a file" if out.exists() else "has the name of a file"
        raise SgtError(out, f"{problem}; targets of pictures are written into a folder", "name another folder")
    searched = {file.searched.resolve() for file in files if file.searched}
    own = {file.path.resolve().parent for file in files if not file.searched}
    where = out.resolve()
    if where in own or any(where.is_relative_to(folder) for folder in searched):
        raise SgtError(out, "is, or lies in, a folder whose pictures are rendered", "name a folder outside it")
