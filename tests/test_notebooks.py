"""The notebooks, executed from their first cell to their last in a small study's folder."""

import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from PIL import Image

import sgt
from tests.conftest import MADE_ARMS, write_study
from tests.conftest import sgt as sgt_command

NOTEBOOKS = {path.stem: path for path in (Path(__file__).parents[1] / "notebooks").glob("*.ipynb")}
PARAMETERS = {
    "from-a-photo-to-targets-and-answers": {
        "STUDY": "config/micro.yaml",
        "RUN": "micro/edge/seed0",
        "PHOTO": None,
        "DATASET": "test",
        "PLACE": 3,
        "QUESTION": "how many cubes are there ?",
        "OPTIONS": ["one", "two"],
    },
    "reading-a-study-with-pandas": {"STUDY": "config/micro.yaml", "BENCHMARK": "toyworld-qa"},
}


@pytest.fixture(scope="module")
def study_folder(made, tmp_path_factory):
    """A copy of the small study, with a transplant."""
    root = tmp_path_factory.mktemp("notebooks") / "study"
    shutil.copytree(made, root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        eyes = {"into": "sft", "parts_from": "edge", "parts": ["vision"]}
        study = write_study(Path(), arms=MADE_ARMS, benchmarks=["toyworld-qa"], transplants={"eyes": eyes})
        words = [study, "--model", "micro", "--arm", "eyes", "--seed", 0]
        sgt_command("transplant", *words)
        sgt_command("predict", *words, "--benchmark", "toyworld-qa")
        sgt_command("score", *words, "--benchmark", "toyworld-qa")
        sgt_command("tables", study)
    return root


@pytest.fixture
def executed(study_folder, tmp_path, monkeypatch):
    """A function that executes a notebook and returns what its cells show, as (MIME type, content)."""
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.chdir(study_folder)

    def execute(name: str, **changes: object) -> list[tuple[str, str]]:
        notebook = nbformat.read(NOTEBOOKS[name], as_version=4)
        (cell,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ()))
        cell.source = "\n".join(f"{key} = {value!r}" for key, value in {**PARAMETERS[name], **changes}.items())
        NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(study_folder)}}).execute()
        outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
        shown = [item for output in outputs for item in output.get("data", {}).items()]
        return shown + [("text/plain", output.text) for output in outputs if "text" in output]

    return execute


def text_of(shown: list[tuple[str, str]]) -> str:
    return "\n".join(content for kind, content in shown if kind == "text/plain")


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_kept_without_outputs_and_has_parameters_for_its_test(name):
    """Outputs would be of some other state of the code, and differ at every execution."""
    cells = nbformat.read(NOTEBOOKS[name], as_version=4).cells
    assert not any(cell.outputs or cell.execution_count for cell in cells if cell.cell_type == "code")
    (parameters,) = (cell.source for cell in cells if "parameters" in cell.metadata.get("tags", ()))
    assert all(key in parameters for key in PARAMETERS[name])


@pytest.mark.slow
def test_from_a_photo_to_targets_and_answers(executed):
    shown = executed("from-a-photo-to-targets-and-answers")
    assert sum(kind == "image/png" for kind, _ in shown) == 2
    study = sgt.load_study("config/micro.yaml")
    photo, record = study.sample("test", 3)
    first = record["questions"][0]
    reply = sgt.load_run(study, "micro/edge/seed0").answer(first["question"], photo, max_new_tokens=16)
    assert f"{first['question']}\nright: {first['answer']}\nreply: {reply.text}" in text_of(shown)
    assert all(name in text_of(shown) for name in study.runs)


@pytest.mark.slow
def test_a_photo_of_the_reader_takes_the_place_of_a_scene(executed, tmp_path):
    Image.new("RGB", (60, 40), "red").save(tmp_path / "photo.png")
    text = text_of(executed("from-a-photo-to-targets-and-answers", PHOTO=str(tmp_path / "photo.png")))
    reply = sgt.load_run("results", "micro/edge/seed0").answer(
        "how many cubes are there ?", tmp_path / "photo.png", max_new_tokens=16
    )
    assert f"how many cubes are there ?\nright: unknown\nreply: {reply.text}" in text
    assert "one" in text and "two" in text


@pytest.mark.slow
def test_reading_a_study_with_pandas(executed):
    shown = executed("reading-a-study-with-pandas")
    assert any(kind == "image/png" for kind, _ in shown)
    study, text = sgt.load_study("config/micro.yaml"), text_of(shown)
    assert study.transplants == ["micro/eyes/seed0"] and study.transplants[0] in study.runs
    edge, sft = (study.items(f"micro/{arm}/seed0", "toyworld-qa")["accuracy"] for arm in ("edge", "sft"))
    fixed, broke = ((edge > sft).sum(), (edge < sft).sum())
    assert f"micro/edge/seed0  {fixed:>5}  {broke:>5}" in text
