"""What is known about a model of ``config/models``, on one screen: whose weights it has, where, under which licence."""

from collections.abc import Iterator

from sgt.app.about_run import Line
from sgt.app.find import MODELS, find_studies, models_of
from sgt.app.weights import fetch_remedy, missing_weights
from sgt.config.downloads import DOWNLOADS_FILE, Downloads
from sgt.config.files import read_yaml
from sgt.data.identity import fetched_revision
from sgt.study.load import load_model_spec
from sgt.study.releases import release_in_words


def about_model(name: str) -> Iterator[Line]:
    """The lines of ``sgt info`` about a model.

    Raises:
        SgtError: its file, or the table of downloads, is not valid.
    """
    spec = load_model_spec(name, MODELS)
    yield "model", f"{name} of {MODELS / name}.yaml, family {spec.family}"
    if spec.released:
        yield "what", release_in_words(spec.released)
    table = read_yaml(DOWNLOADS_FILE, Downloads).root if DOWNLOADS_FILE.exists() else {}
    missing = missing_weights(spec)
    for folder in spec.weight_folders:
        about = [f"not there: {fetch_remedy(spec, folder)}"] if folder in missing else []
        about += [f"revision {revision}"] if (revision := fetched_revision(folder)) else []
        about += [f"licence {table[folder.name].licence}"] if folder.name in table else []
        yield "weights", ", ".join([str(folder), *about])
    studies = [str(file) for file, content in find_studies().items() if name in models_of(content)]
    yield "studies", ", ".join(studies) or "none of config/ has it"
