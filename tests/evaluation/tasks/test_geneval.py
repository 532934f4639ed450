"""GenEval: its prompts, scores from known boxes for every kind of prompt, and the way through the commands."""

import json
from pathlib import Path

import pytest
import yaml

from sgt.commands.main import main
from sgt.errors import SgtError
from sgt.evaluation.evaluators import geneval_kit as kit
from sgt.evaluation.evaluators.instances import Detection
from sgt.evaluation.evaluators.objects_and_colours import ObjectsAndColours
from sgt.evaluation.score import score_predictions
from sgt.evaluation.task import Row, SelfCheckFailed
from tests.conftest import sgt, write_study
from tests.evaluation.evaluators.small_models import write_classifier, write_detector
from tests.evaluation.tasks.published import CONFIG, record_fetched, rows_of, task

RUN = ["config/micro.yaml", "--model", "micro", "--arm", "base", "--seed", "0"]
# One prompt of each kind.
LINES = [
    {"tag": "single_object", "include": [{"class": "bench", "count": 1}], "prompt": "a photo of a bench"},
    {
        "tag": "two_object",
        "include": [{"class": "tv remote", "count": 1}, {"class": "cow", "count": 1}],
        "prompt": "a photo of a tv remote and a cow",
    },
    {
        "tag": "counting",
        "include": [{"class": "bus", "count": 3}],
        "exclude": [{"class": "bus", "count": 4}],
        "prompt": "a photo of three buses",
    },
    {
        "tag": "colors",
        "include": [{"class": "cup", "count": 1, "color": "red"}],
        "prompt": "a photo of a red cup",
    },
    {
        "tag": "position",
        "include": [{"class": "cake", "count": 1}, {"class": "kite", "count": 1, "position": ["above", 0]}],
        "prompt": "a photo of a kite above a cake",
    },
    {
        "tag": "color_attr",
        "include": [
            {"class": "cup", "count": 1, "color": "red"},
            {"class": "dog", "count": 1, "color": "brown"},
        ],
        "prompt": "a photo of a red cup and a brown dog",
    },
]
UP, DOWN = [100, 0, 200, 100], [100, 300, 200, 400]


def write(folder: Path, lines: list[dict] = LINES, name: str = "evaluation_metadata.jsonl") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))


def found(name: str, score: float = 0.8, box=UP, **more) -> dict:
    return {"class": name, "score": score, "box": box, **more}


# For each prompt: what shows what it asks for, and what does not.
RIGHT = [
    [found("bench", 0.31)],
    [found("cow"), found("tv remote"), found("cup")],
    [found("bus", score) for score in (0.97, 0.95, 0.92, 0.89)],
    [found("cup", colour="red"), found("cup", 0.7, colour="blue")],
    [found("kite", box=UP), found("cake", box=DOWN)],
    [found("cup", colour="red"), found("dog", box=DOWN, colour="brown")],
]
WRONG = [
    [found("bench", 0.29)],
    [found("cow")],
    [found("bus", score) for score in (0.97, 0.95, 0.92, 0.93)],
    [found("cup", colour="blue"), found("cup", 0.7, colour="red")],
    [found("kite", box=DOWN), found("cake", box=UP)],
    [found("cup", colour="brown"), found("dog", box=DOWN, colour="red")],
]


def geneval(**options):
    return task("geneval", options.pop("protocol", "short"), **options)


def metrics_of(pairs: list[tuple[Row, list]]) -> dict[str, float]:
    scored = score_predictions(geneval(), [(row, {"status": "ok", "objects": objects}) for row, objects in pairs])
    return {name: metric["value"] for name, metric in scored.metrics.items()}


@pytest.fixture
def prompts(tmp_path) -> list[Row]:
    """A row of one image for each prompt."""
    write(tmp_path)
    return rows_of(geneval(images=1), tmp_path)


@pytest.mark.parametrize("place", range(6), ids=[line["tag"] for line in LINES])
def test_an_image_of_each_kind_is_right_or_wrong(prompts, place):
    tag = f"correct/{LINES[place]['tag']}"
    assert metrics_of([(prompts[place], RIGHT[place])])[tag] == 1.0
    assert metrics_of([(prompts[place], WRONG[place])])[tag] == 0.0
    assert metrics_of([(prompts[place], [])])[tag] == 0.0


def test_kinds_weigh_alike_whatever_their_numbers_of_images(tmp_path):  # T-GE-6
    counts = [(1, 1), (9, 10), (1, 2), (4, 5), (2, 5), (3, 5)]
    write(tmp_path, [line for line, (_, of) in zip(LINES, counts, strict=True) for _ in range(of)])
    rows = rows_of(geneval(images=1), tmp_path)
    objects = [
        (RIGHT if number < right else WRONG)[place] for place, (right, of) in enumerate(counts) for number in range(of)
    ]
    values = metrics_of(list(zip(rows, objects, strict=True)))
    assert [values[f"correct/{line['tag']}"] for line in LINES] == [1.0, 0.9, 0.5, 0.8, 0.4, 0.6]
    assert values["overall"] == pytest.approx(0.70) and values["correct"] == pytest.approx(20 / 28)
    assert len({row.id for row in rows}) == 28 and rows[1].id == "00001-0"


def test_images_of_a_prompt_are_resampled_together_and_any_may_be_right(tmp_path):
    write(tmp_path)
    rows = rows_of(geneval(images=4), tmp_path)
    assert [(row.id, row.repeat, row.groups["prompt"]) for row in rows[3:5]] == [
        ("00000-3", 3, "00000"),
        ("00001-0", 0, "00001"),
    ]
    objects = [(RIGHT if repeat == 2 and place < 3 else WRONG)[place] for place in range(6) for repeat in range(4)]
    values = metrics_of(list(zip(rows, objects, strict=True)))
    assert values["overall"] == values["correct"] == 0.125 and values["any_correct"] == 0.5
    metrics = geneval().metrics(rows)
    assert {metric.cluster for metric in metrics} == {"prompt"}
    assert [metric.name for metric in metrics if metric.headline] == ["overall"]


def test_counting_is_also_scored_with_thresholds_around_its_own(prompts):
    three = [found("bus", score) for score in (0.97, 0.96, 0.93)]
    values = metrics_of([(prompts[2], three), (prompts[0], RIGHT[0])])
    assert [values[name] for name in ("correct/counting", "counting/lower", "counting/higher")] == [1.0, 1.0, 0.0]
    values = metrics_of([(prompts[2], [*three, found("bus", 0.86)]), (prompts[0], RIGHT[0])])
    assert [values[name] for name in ("correct/counting", "counting/lower", "counting/higher")] == [1.0, 0.0, 0.0]


def test_what_was_not_judged_is_no_number(prompts):
    records = [{"status": "error"}, *({"status": "ok", "objects": each} for each in RIGHT[1:])]
    scored = score_predictions(geneval(), zip(prompts, records, strict=True))
    assert scored.statuses == {"error": 1, "ok": 5} and "correct/single_object" not in scored.metrics
    assert (scored.metrics["overall"]["value"], scored.metrics["overall"]["n"]) == (1.0, 5)
    none = score_predictions(geneval(), [(row, {"status": "error"}) for row in prompts])
    assert none.metrics == {} and none.items["any_correct"] == [0.0] * 6


def test_long_prompts_ask_for_the_same(tmp_path):
    write(tmp_path, [{**LINES[0], "prompt": "A realistic wooden bench."}], "evaluation_metadata_long.jsonl")
    (row,) = rows_of(geneval(protocol="long", images=1), tmp_path)
    assert row.question == "A realistic wooden bench." and row.size == (1024, 1024)
    assert row.extra == {"include": LINES[0]["include"], "exclude": []}


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"tag": "colour"}, "record 1: tag"),
        ({"include": []}, "record 1: include"),
        (
            {"include": [{"class": "laptop computer", "count": 1}]},
            "'laptop computer' is not one of GenEval's 80 classes",
        ),
        ({"include": [{"class": "cup"}]}, "record 1: include.0.count"),
        ({"include": [{"class": "cup", "count": 0}]}, "record 1: include.0.count"),
        ({"include": [{"class": "cup", "count": 1, "color": "grey"}]}, "record 1: include.0.color"),
        ({"include": [{"class": "cup", "count": 1, "position": ["near", 0]}]}, "record 1: include.0.position.0"),
        (
            {"include": [{"class": "cup", "count": 1, "position": ["above", 0]}]},
            "is placed relative to entry 0, which",
        ),
        ({"exclude": [{"class": "chair"}]}, "record 1: exclude.0.count"),
        ({"prompt": ""}, "record 1: prompt"),
    ],
    ids=str,
)
def test_a_wrong_line_of_the_metadata_is_named(tmp_path, change, where):
    write(tmp_path, [LINES[0], {**LINES[0], **change}])
    with pytest.raises(SgtError) as error:
        geneval().open([tmp_path])
    assert where in str(error.value) and "evaluation_metadata.jsonl" in str(error.value)
    assert "\n" not in str(error.value)


def test_more_prompts_than_are_published_are_refused(tmp_path):
    write(tmp_path, [LINES[0]] * 554)
    with pytest.raises(SgtError, match="554 prompts, 553 are published"):
        geneval().open([tmp_path])


class KnownBoxes:
    """Stands for both models: it knows the kit's pictures, and what is in the images that are judged."""

    def __init__(self, objects: list[list[dict]]) -> None:
        self.pictures = {
            picture.image.tobytes(): [found(name, box=box) for name, box in picture.things]
            for picture in [*kit.photographs(), *kit.drawings()]
        }
        self.shapes = {image.tobytes(): colour for image, _, colour in kit.coloured()}
        self.objects = objects

    def detect(self, images, above):
        listed = [self.pictures.get(image.tobytes()) or self.objects.pop(0) for image in images]
        return [
            [KnownDetection(each["class"], each["score"], tuple(each["box"]), None, each) for each in objects]
            for objects in listed
        ]

    def colours(self, objects):
        return [self.shapes.get(image.tobytes()) or each.known["colour"] for image, each in objects]


class KnownDetection(Detection):
    def __init__(self, name, score, box, mask, known) -> None:
        super().__init__(name, score, box, mask)
        object.__setattr__(self, "known", known)


def install_small(root: Path) -> None:
    """The benchmark with two small images of each prompt, and models of random weights, as if they had been fetched."""
    file = yaml.safe_load((CONFIG / "geneval.yaml").read_text())
    small = {"side": 48, "images": 2, "sampling": {"num_steps": 2}}
    (root / "config/benchmarks/geneval.yaml").write_text(yaml.safe_dump({**file, **small}))
    write(root / "downloads/geneval")
    write_detector(root / "downloads/mask2former-swin-small-coco")
    write_classifier(root / "downloads/clip-vit-large-patch14")
    for folder in (root / "downloads").iterdir():
        record_fetched(folder)


@pytest.fixture
def study(prepared, tmp_path, monkeypatch) -> Path:
    """A study of the base alone, whose images are predicted: two of each prompt."""
    monkeypatch.chdir(tmp_path)
    write_study(Path(), benchmarks=["geneval"], arms=["base"])
    Path("base").symlink_to(prepared / "base")
    install_small(Path())
    sgt("train", *RUN)
    sgt("predict", *RUN, "--benchmark", "geneval")
    return tmp_path


def judged_and_scored() -> dict:
    sgt("judge", *RUN, "--benchmark", "geneval")
    sgt("score", *RUN, "--benchmark", "geneval")
    return json.loads(Path("results/scores/micro/base/seed0/geneval.json").read_text())


def test_known_boxes_give_scores_worked_out_by_hand(study, monkeypatch):
    right = [RIGHT[0], WRONG[0], RIGHT[1], RIGHT[1], WRONG[2], WRONG[2], RIGHT[3], WRONG[3], RIGHT[4], RIGHT[4]]
    known = KnownBoxes([*right, RIGHT[5], WRONG[5]])
    monkeypatch.setattr(ObjectsAndColours, "detector", known)
    monkeypatch.setattr(ObjectsAndColours, "classifier", known)
    score = judged_and_scored()
    values = {name: metric["value"] for name, metric in score["metrics"].items()}
    assert [values[f"correct/{line['tag']}"] for line in LINES] == [0.5, 1.0, 0.0, 0.5, 1.0, 0.5]
    assert values["overall"] == pytest.approx(3.5 / 6) and score["statuses"] == {"ok": 12}
    check = score["evaluator"]["self_check"]
    assert (
        check["missed"] == []
        and check["photographs"]["right"] == 6
        and check["colours"] == {"right": 20, "of": 20, "required": 0.8}
    )
    assert set(score["evaluator"]["identity"]) == {"version", "detector", "classifier"}
    lines = Path("results/judgements/micro/base/seed0/geneval/judgements.jsonl").read_text().splitlines()
    assert len(lines) == 12


def test_each_part_of_the_kit_must_be_read(monkeypatch):
    known = KnownBoxes([])
    monkeypatch.setattr(ObjectsAndColours, "detector", known)
    monkeypatch.setattr(ObjectsAndColours, "classifier", known)
    evaluator = ObjectsAndColours("detector", "classifier")
    drawn = [picture.image.tobytes() for picture in kit.drawings()]
    for image in drawn[2:]:
        known.pictures[image] = [found("bed", 0.99)]
    assert evaluator.prove()["missed"] == ["traffic light", "donut", "umbrella", "tv"]
    known.pictures[drawn[1]] = [found("clock", box=(0, 0, 50, 50))]
    with pytest.raises(SelfCheckFailed, match="only 6 of 6 photographs, 1 of 6 drawings, 20 of 20 colours"):
        evaluator.prove()
    known = KnownBoxes([])
    known.shapes = dict.fromkeys(known.shapes, "red")
    monkeypatch.setattr(ObjectsAndColours, "detector", known)
    monkeypatch.setattr(ObjectsAndColours, "classifier", known)
    with pytest.raises(SelfCheckFailed, match=r"6 of 6 drawings, 2 of 20 colours .* not orange sports ball, "):
        evaluator.prove()


def test_models_of_random_weights_are_refused_and_nothing_is_scored(study, prepared, capsys):
    score = judged_and_scored()
    assert score["metrics"] == {} and score["counts"] == {"predicted": 12, "scored": 0}
    said = score["evaluator"]["self_check"]["failed"]
    assert said == score["not_scored"] and "only 0 of 6 photographs, 0 of 6 drawings, " in said
    assert main(["tables", "config/micro.yaml"]) == 1
    capsys.readouterr()
    write_study(Path(), benchmarks=["geneval", "toyworld-qa"], arms=["base"])
    Path("results/shards").symlink_to(prepared / "results/shards")
    for command in ("predict", "score"):
        sgt(command, *RUN, "--benchmark", "toyworld-qa")
    sgt("tables", "config/micro.yaml")
    table = Path("results/tables/main.md").read_text()
    assert " not run " in table and "geneval was not run: " in table and "0 of 6 photographs" in table
    for command in ("figures", "evidence", "report"):
        sgt(command, "config/micro.yaml")
    assert "geneval was not run: " in Path("results/report/index.html").read_text()


def test_a_class_without_a_label_and_a_missing_image_end_in_one_line(study, capsys):
    file = Path("downloads/mask2former-swin-small-coco/config.json")
    config = json.loads(file.read_text())
    file.write_text(json.dumps({**config, "id2label": {**config["id2label"], "63": "notebook"}}))
    record_fetched(file.parent)
    assert main(["judge", *RUN, "--benchmark", "geneval"]) == 1
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert "config.json: id2label.63: 'notebook' is not the class 'laptop'" in line
    images = Path("results/predictions/micro/base/seed0/geneval/images.tar")
    images.write_bytes(images.read_bytes()[: images.stat().st_size // 2])
    assert main(["judge", *RUN, "--benchmark", "geneval"]) == 1
    assert "images.tar: changed since it was made" in capsys.readouterr().err
