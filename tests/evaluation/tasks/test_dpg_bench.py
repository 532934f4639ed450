"""DPG-Bench: the graph of questions, the mean of images, and categories, by the cases of the reference."""

import csv
from pathlib import Path

import pytest

from sgt.errors import SgtError
from sgt.evaluation.score import score_predictions
from sgt.evaluation.tasks.dpg_bench import DpgBench, with_dependencies
from tests.evaluation.tasks.published import rows_of

COLUMNS = ["item_id", "text", "keywords", "proposition_id", "dependency", "category_broad", "category_detailed"]
COLUMNS += ["tuple", "question_natural_language"]
GRAPH = [("1", "0", "entity"), ("2", "1", "attribute"), ("3", "0", "entity"), ("4", "1, 3", "relation")]
GRAPH += [("5", "4", "other")]
REPLIES = ["yes", "Yes.", "no", "yes", "yes"]


def write(folder: Path, graph=GRAPH, items=("demo0", "demo1")) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "dpg_bench.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(COLUMNS)
        for item in items:
            for number, parents, category in graph:
                about = [category, "whole", f"{category} - whole (cup)", f"Is there cup {number}?"]
                rows.writerow([item, f"a cup on a tray, {item}", "", number, parents, *about])


def task(**chosen) -> DpgBench:
    sampling = {"num_steps": 2}
    given = {"name": "dpg-bench", "task": "dpg-bench", "version": 1, "images": 1, "sampling": sampling, **chosen}
    return DpgBench(DpgBench.Options(**given, judge={"url": "http://127.0.0.1/v1", "model": "m"}))


def judged(one: DpgBench, row, replies) -> tuple:
    calls = [{"value": one.read(row, number, text)} for number, text in enumerate(replies)]
    return row, {"status": "ok", "repeats": [{"status": "ok", "calls": calls}]}


def test_prompts_are_of_the_collections_that_their_names_begin_with(tmp_path):
    write(tmp_path, items=("partiprompts97", "partiprompts11", "whoops3"))
    assert task().parts(task().open([tmp_path])) == ["partiprompts", "partiprompts", "whoops"]
    assert [row.id for row in rows_of(task(samples=2), tmp_path)] == ["partiprompts97-0", "whoops3-0"]


def test_a_question_counts_only_with_those_it_depends_on_and_categories_have_raw_answers(tmp_path):
    write(tmp_path)
    one = task()
    row = next(one.rows(one.open([tmp_path])))
    read = [one.read(row, number, text) for number, text in enumerate(REPLIES)]
    assert read == [1, 1, 0, 1, 1]
    assert with_dependencies(row.extra["questions"], read) == [1, 1, 0, 0, 0]
    values = one.values(row, read)
    assert values["score"] == 0.4
    assert (values["entity_yes"], values["entity_asked"]) == (1, 2) and values["relation_yes"] == 1
    assert one.read(row, 0, "I think so") is None


def test_the_score_is_the_mean_of_images_and_not_of_questions(tmp_path):
    write(tmp_path, items=("few",))
    one = task()
    (few,) = one.rows(one.open([tmp_path]))
    write(tmp_path, [(str(number), "0", "entity") for number in range(1, 16)], ("many",))
    (many,) = one.rows(one.open([tmp_path]))
    scored = score_predictions(one, [judged(one, few, REPLIES), judged(one, many, ["yes"] * 15)])
    assert scored.metrics["dpg"]["value"] == pytest.approx(0.7)
    assert scored.metrics["dpg/entity"]["value"] == pytest.approx(16 / 17), "pooled over both"


def test_every_image_of_a_prompt_has_a_row_and_a_seed_and_a_graph_is_whole(tmp_path):
    write(tmp_path)
    rows = list(task(images=4).rows(task().open([tmp_path])))
    assert [row.id for row in rows[:5]] == ["demo0-0", "demo0-1", "demo0-2", "demo0-3", "demo1-0"]
    assert [row.repeat for row in rows[:5]] == [0, 1, 2, 3, 0] and rows[0].groups == {"prompt": "demo0"}
    write(tmp_path, [("1", "7", "entity")])
    with pytest.raises(SgtError, match="question 1 depends on 7, which is not there"):
        task().open([tmp_path])
