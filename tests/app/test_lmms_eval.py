"""lmms-eval with our models: it gets the replies that our own prediction gets, and makes the same scores of them."""

import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from sgt.commands.main import main
from sgt.evaluation.predict import replier
from sgt.evaluation.score import score_predictions
from sgt.evaluation.task import Row
from sgt.models.registry import load_model
from sgt.models.requests import Decoding, Reply, Request
from sgt.study.load import load_model_spec
from tests.conftest import sgt
from tests.evaluation.tasks import test_cv_bench, test_mmstar, test_pope, test_realworldqa
from tests.evaluation.tasks.published import rows_of, task

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("lmms_eval") is None, reason="needs the environment of `make lmms-eval`"),
]
CATEGORIES = [
    "coarse perception", "fine-grained perception", "instance reasoning", "logical reasoning", "math",
    "science & technology",
]  # fmt: skip
# Task of lmms-eval -> our task, the files of its rows, and which metric of ours each of its is.
TASKS: dict[str, tuple[str, str, dict[str, str]]] = {
    "mmstar": (
        "mmstar",
        "",
        {"average": "sub_category_mean"} | {name: f"sub_category_mean/{name}" for name in CATEGORIES},
    ),
    "realworldqa": ("realworldqa", "", {"exact_match": "accuracy"}),
    "cv_bench": ("cv-bench", "", {"cv_bench_acc": "accuracy/plain"}),
} | {
    name: (
        "pope",
        f"Full/{split}-*.parquet",
        {"pope_accuracy": f"accuracy/{split}", "pope_f1_score": f"f1/{split}"},
    )
    for name, split in (("pope_adv", "adversarial"), ("pope_pop", "popular"), ("pope_random", "random"))
}
# Plain answers and those that harnesses read differently.
REPLIES = (
    "yes", "yes", "no", "No ", "yes.", "Nope", "", "A", "B", "C", "D", "(B)", "B.", "b", "The answer is B.", "B. Right",
    "A dog", "It is two", "two", "2", "Downhill", "downhill.", "The answer is D since A is wrong", "I cannot tell",
)  # fmt: skip


class Chooser:
    """Replies to a request with one of :data:`REPLIES`, which depends on the request alone."""

    def answer(self, requests: Sequence[Request], decoding: Decoding) -> list[Reply]:
        chosen = [REPLIES[zlib.crc32(_bytes(request)) % len(REPLIES)].strip() for request in requests]
        return [Reply(text, 1, "stop") for text in chosen]


def _bytes(request: Request) -> bytes:
    return b"".join(part.encode() if isinstance(part, str) else part.tobytes() for part in request.content)


@pytest.fixture
def downloads(study) -> Path:
    """Rows of every benchmark as the hub has them: parquet files that name their images' column."""
    import datasets

    folder = Path("downloads")
    test_pope.write(folder / "pope", images=8)
    test_mmstar.write(folder / "mmstar")
    test_realworldqa.write(folder / "realworldqa", test_realworldqa.ROWS * 8)
    test_cv_bench.write(folder / "cv-bench")
    for file in folder.rglob("*.parquet"):
        rows = datasets.Dataset.from_parquet(str(file), cache_dir="cache")
        rows.cast_column("image", datasets.Image()).to_parquet(str(file))
    return folder


@pytest.fixture(autouse=True)
def no_hub(monkeypatch, tmp_path):
    monkeypatch.setenv("LMMS_EVAL_DATASETS_CACHE", str(tmp_path / "datasets"))


def run(downloads: Path, names: Sequence[str], *more: object) -> dict[str, Any]:
    """What ``sgt lmms-eval`` writes."""
    data = [word for name in names for word in ("--data", f"{name}={downloads / TASKS[name][0] / TASKS[name][1]}")]
    sgt("lmms-eval", "--model", "micro", "--tasks", ",".join(names), "--out", "out.json", *data, *more)
    return json.loads(Path("out.json").read_text())


def ours(downloads: Path, name: str, model: Any) -> tuple[list[Row], list[Reply], Mapping[str, float]]:
    """Rows, replies and metrics of one of our tasks under its protocol ``lmms-eval``."""
    made = task(name, "lmms-eval")
    rows = rows_of(made, downloads / name)
    replies = list(replier(model, load_model_spec("micro"), made)(rows))
    found = score_predictions(made, zip(rows, replies, strict=True)).metrics
    return rows, replies, {name: metric["value"] for name, metric in found.items()}


def agree(found: dict[str, Any], downloads: Path, model: Any) -> None:
    """Each task has the replies that our own prediction has, to every row, and the scores."""
    for name, (own, _, metrics) in TASKS.items():
        rows, replies, values = ours(downloads, own, model)
        texts = {row.id: reply.text for row, reply in zip(rows, replies, strict=True)}
        samples = found["samples"][name]
        if own == "pope":
            ids = [f"{sample['doc']['category']}-{sample['doc']['question_id']}" for sample in samples]
        else:
            ids = [row.id for row in rows]
        assert [sample["resps"][0][0] for sample in samples] == [texts[each] for each in ids]
        for theirs, metric in metrics.items():
            assert found["results"][name][f"{theirs},none"] == pytest.approx(values[metric]), (name, theirs)


def test_the_micro_model_gets_the_same_replies_and_scores(downloads):
    spec = load_model_spec("micro")
    model = load_model(spec, Path(spec.checkpoint))
    found = run(downloads, list(TASKS))
    assert found["lmms_eval"] and found["command"].startswith("sgt lmms-eval --model micro")
    agree(found, downloads, model)


def test_scores_of_the_same_replies_are_the_same(downloads, monkeypatch):
    monkeypatch.setattr("sgt.app.lmms_eval_model.load_model", lambda *args, **options: Chooser())
    found = run(downloads, list(TASKS))
    agree(found, downloads, Chooser())
    results = {name: [found["results"][name][f"{each},none"] for each in TASKS[name][2]] for name in TASKS}
    # Neither all right nor all wrong, and F1 is not accuracy.
    assert all(any(0 < value < 1 for value in values) for values in results.values()), results


def test_options_are_rated_as_our_models_rate_them(downloads):
    settings = {
        "task": "pope_options",
        "dataset_path": "parquet",
        "dataset_kwargs": {"data_files": {"test": str((downloads / "pope/Full").resolve() / "random-*.parquet")}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_visual": "image",
        "doc_to_text": "{{question}}",
        "doc_to_choice": ["yes", "no"],
        "doc_to_target": "answer",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    }
    Path("tasks").mkdir()
    Path("tasks/pope_options.yaml").write_text(yaml.safe_dump(settings))
    sgt("lmms-eval", "--model", "micro", "--tasks", "pope_options", "--include-path", "tasks", "--out", "out.json")
    samples = json.loads(Path("out.json").read_text())["samples"]["pope_options"]
    spec = load_model_spec("micro")
    rows = {row.id: row for row in rows_of(task("pope", "lmms-eval"), downloads / "pope")}
    asked = [rows[f"random-{sample['doc']['question_id']}"] for sample in samples]
    requests = [Request([*row.images, row.question]) for row in asked]
    rated = load_model(spec, Path(spec.checkpoint)).loglikelihood(requests, [["yes", "no"]] * len(asked))
    for sample, row, likelihoods in zip(samples, asked, rated, strict=True):
        losses = [-each.logprob / each.tokens for each in likelihoods]
        assert [loss for ((loss, _),) in sample["resps"]] == pytest.approx(losses, abs=1e-5)
        assert sample["acc"] == (["yes", "no"][losses.index(min(losses))] == row.answer)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--tasks mmstarr", "--tasks mmstarr: lmms-eval has no task of this name; did you mean mmstar"),
        ("--tasks mmstar --data mmstar=base", "--data mmstar: base has no parquet file"),
        ("--tasks pope_full --data pope_full=base", "--data pope_full: is a group of tasks"),
        ("--tasks mmstar --limit 0", "--limit: must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_run_is_one_line(study, words, message, capsys):
    assert main(["lmms-eval", "--model", "micro", "--out", "out.json", *words.split()]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"sgt lmms-eval: error: {message}")
    assert not Path("out.json").exists()


def test_what_a_task_says_about_generating(error_of):
    from sgt.app.lmms_eval_model import generation

    usual = {
        "max_new_tokens": 16,
        "temperature": 0,
        "top_p": 1.0,
        "num_beams": 1,
        "do_sample": False,
        "until": ["\n\n"],
    }
    assert generation(usual, "t") == (Decoding(16), ())
    assert generation({"until": ["\n\n", "Q:"]}, "t") == (Decoding(100), ("Q:",))
    assert generation({"temperature": 0.5, "until": "."}, "t") == (Decoding(100, 0.5), (".",))
    assert generation({"temperature": 0.5, "do_sample": False, "top_p": 0.9}, "t") == (Decoding(100), ())
    assert "beam search" in error_of(lambda: generation({"num_beams": 5}, "t"))
    assert "top_p" in error_of(lambda: generation({"do_sample": True, "top_p": 0.9}, "t"))


@pytest.fixture
def error_of() -> Callable[[Callable[[], object]], str]:
    """The message of the error that a call ends in."""
    from sgt.errors import SgtError

    def message(call: Callable[[], object]) -> str:
        with pytest.raises(SgtError) as raised:
            call()
        return str(raised.value)

    return message


def test_images_stand_in_the_place_of_their_tags():
    from sgt.app.lmms_eval_model import interleaved

    first, second = Image.new("RGB", (8, 8)), Image.new("RGB", (9, 8))
    assert interleaved("Which is wider?", [first, second]) == [first, second, "Which is wider?"]
    assert interleaved("Is <image> or <image> wider?", [first, second]) == ["Is", first, "or", second, "wider?"]
    assert interleaved("What is <image>?", [first, second]) == [first, second, "What is <image>?"]
