"""Whether the weights of a model are there, and the command that fetches them."""

from pathlib import Path

from sgt.config.downloads import DOWNLOADS_FILE, Downloads
from sgt.config.files import read_yaml
from sgt.config.models import Model
from sgt.errors import SgtError


def missing_weights(spec: Model, folder: Path | None = None) -> list[Path]:
    """The folders without any weights, of a checkpoint of a model or, if it is None, of the model's own."""
    own = spec.weight_folders
    folders = own if folder is None or folder == own[0] else [folder]
    return [each for each in folders if next(each.rglob("*.safetensors"), None) is None]


def require_weights(spec: Model, folder: Path | None = None) -> None:
    """Check that weights are there; loading them checks that all are.

    Args:
        spec: the model.
        folder: a checkpoint of it; its own if None.

    Raises:
        SgtError: a folder has none; with the command that fetches them.
    """
    for each in missing_weights(spec, folder):
        raise SgtError(each, f"no weights of {spec.name} there", fetch_remedy(spec, each))


def fetch_remedy(spec: Model, folder: Path) -> str:
    """What puts a model's weights into a folder."""
    if DOWNLOADS_FILE.exists() and folder.name in read_yaml(DOWNLOADS_FILE, Downloads).root:
        into = "" if folder.parent == Path("downloads") else f" --into {folder.parent}"
        return f"run `sgt fetch {folder.name}{into}`"
    return f"run `sgt base {folder}`" if spec.pretrain else "put them there"
