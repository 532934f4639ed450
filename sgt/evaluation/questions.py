"""Metrics of questions with one right answer: accuracy by kind, and what the question's form alone would get."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from sgt.evaluation.statistics import proportion

# A question asked at least so often has a best constant answer of its own; rarer ones share one per template.
OWN_CONSTANT = 30


def normalised(text: str) -> str:
    """Lower case, without surrounding white space, a final full stop or repeated blanks."""
    return " ".join(text.lower().split()).rstrip(". ")


def score_questions(predictions: Sequence[dict], groups: Mapping[str, Sequence[str]]) -> tuple[dict, dict]:
    """Metrics and items of a question benchmark.

    Args:
        predictions: lines of ``predictions.jsonl``.
        groups: kinds that are also reported together, by name of the group.

    Returns:
        ``metrics``: name → value, low, high, n and chance, for ``accuracy``, ``accuracy/GROUP`` and
        ``accuracy/KIND``. ``items``: columns ``id``, ``key``, ``kind`` and ``accuracy`` (1 right, 0 wrong).
    """
    right = [int(normalised(line["prediction"]) == normalised(line["answer"])) for line in predictions]
    guessed = constant_answers(predictions)
    kinds = [line["kind"] for line in predictions]
    metrics = {}
    for name in ("accuracy", *(f"accuracy/{part}" for part in (*groups, *dict.fromkeys(kinds)))):
        of = items_of(name, kinds, groups)
        if of:
            estimate = proportion([right[index] for index in of], [predictions[index]["key"] for index in of])
            metrics[name] = {**vars(estimate), "chance": sum(guessed[index] for index in of) / len(of)}
    items = {field: [line[field] for line in predictions] for field in ("id", "key", "kind")}
    return metrics, {**items, "accuracy": right}


def items_of(metric: str, kinds: Sequence[str], groups: Mapping[str, Sequence[str]]) -> list[int]:
    """Which items an accuracy is over.

    Args:
        metric: ``accuracy``, ``accuracy/GROUP`` or ``accuracy/KIND``.
        kinds: the kind of each item.
        groups: the kinds of each group.
    """
    _, _, part = metric.partition("/")
    members = groups.get(part, [part]) if part else set(kinds)
    return [index for index, kind in enumerate(kinds) if kind in members]


def constant_answers(predictions: Sequence[dict]) -> list[int]:
    """Per question, whether the best constant answer to questions of its form is right (1) or not (0).

    This is the chance level that a model must beat to have used the image. A form is the question itself if it is
    asked often; else its kind, its first two words and its number of options. The constant is a place among the
    options (``the first that is named``), which for fixed options is an answer. Being the best in hindsight it is a
    little too good, so beating it is a little harder than it must be.
    """
    asked = Counter(line["question"] for line in predictions)
    forms = defaultdict(list)
    for index, line in enumerate(predictions):
        question = line["question"]
        template = (line["kind"], *question.split()[:2], len(line["options"]))
        forms[question if asked[question] >= OWN_CONSTANT else template].append(index)
    right = [0] * len(predictions)
    for members in forms.values():
        places = [predictions[index]["options"].index(predictions[index]["answer"]) for index in members]
        best = Counter(places).most_common(1)[0][0]
        for index, place in zip(members, places, strict=True):
            right[index] = int(place == best)
    return right
