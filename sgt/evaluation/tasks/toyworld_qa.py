"""Questions about toyworld scenes, each with one right answer: accuracy by kind of question."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Literal

from pydantic import Field, field_validator

from sgt.config.benchmarks import AnswerBenchmark, DecodingOptions
from sgt.config.fields import Name
from sgt.data.conversations import check_questions
from sgt.data.images import image_of
from sgt.data.shards import Sample
from sgt.data.toyworld.questions import KINDS
from sgt.evaluation.metrics import Metric
from sgt.evaluation.task import Parsed, Row, Task
from sgt.models.requests import Reply

# A question that occurs at least so often has a best constant answer of its own; rarer ones share one per template.
OWN_CONSTANT = 30


class ToyworldQA(Task[Reply]):
    """Answers match exactly, after normalisation."""

    class Options(AnswerBenchmark):
        """Decoding, and which kinds of question are summed up together."""

        needs = "questions"
        scoring_fields = frozenset({"groups"})

        task: Literal["toyworld-qa"]
        protocol: Literal["official"] = "official"
        decoding: DecodingOptions = DecodingOptions(max_new_tokens=8)
        groups: dict[Name, Annotated[list[str], Field(min_length=1)]] = Field(
            {}, description="kinds of question that are also scored together, by name of the group"
        )

        @field_validator("groups")
        @classmethod
        def _of_kinds(cls, groups: dict[str, list[str]]) -> dict[str, list[str]]:
            for group, kinds in groups.items():
                if group in KINDS:
                    raise ValueError(f"{group!r} is the name of a kind of question: rename the group")
                if unknown := [kind for kind in kinds if kind not in KINDS]:
                    raise ValueError(f"no kind {unknown[0]!r}: use some of {', '.join(KINDS)}")
            return groups

        def item_texts(self, record: dict, where: str) -> list[str]:
            """The questions."""
            return [question for question, _ in check_questions(record.get("questions"), where)]

    options: Options
    name = "toyworld-qa"
    chance_definition = "what the best constant answer to each form of question would get, without the image"

    def rows(self, samples: Iterable[Sample]) -> Iterator[Row]:
        """A row per question."""
        for sample in samples:
            image = image_of(sample)
            for question in sample.json()["questions"]:
                yield Row(
                    id=question["id"],
                    question=question["question"],
                    kind="text",
                    images=[image],
                    options=question["options"],
                    answer=question["answer"],
                    dimensions={"kind": question["kind"]},
                    groups={"scene": sample.key},
                )

    def parse(self, row: Row, reply: Reply, protocol: str) -> Parsed:
        """The whole reply is the answer."""
        value = normalised(reply.text)
        options, _ = _choices(row)
        return Parsed(value, "direct" if value in map(normalised, options) else "none")

    def score(self, row: Row, parsed: Parsed) -> dict[str, float]:
        """1 if the answer is right."""
        _, answer = _choices(row)
        return {"accuracy": int(parsed.value == normalised(answer))}

    def chance(self, rows: Sequence[Row]) -> list[int]:
        """Per question, whether the best constant answer to questions of its form is right (1) or not (0).

        This is the level that a model must exceed to have used the image. A form is the question itself if it is
        frequent; else its kind, its first two words and its number of options. The constant is a place among the
        options (``the first that is named``), which for fixed options is an answer. As it is chosen in hindsight it is
        a little too good, so exceeding it is a little harder than it must be.
        """
        occurrences = Counter(row.question for row in rows)
        forms = defaultdict(list)
        for place, row in enumerate(rows):
            options, _ = _choices(row)
            template = (row.dimensions["kind"], *row.question.split()[:2], len(options))
            forms[row.question if occurrences[row.question] >= OWN_CONSTANT else template].append(place)
        right = [0] * len(rows)
        for members in forms.values():
            answers = [_place_of_answer(rows[place]) for place in members]
            best = Counter(answers).most_common(1)[0][0]
            for place, answer in zip(members, answers, strict=True):
                right[place] = int(answer == best)
        return right

    def metrics(self, rows: Sequence[Row]) -> list[Metric]:
        """Accuracy of all questions, of each group of kinds, and of each kind."""
        kinds = list(dict.fromkeys(row.dimensions["kind"] for row in rows))
        groups = {name: members for name, members in self.options.groups.items() if set(members) & set(kinds)}
        return [
            _accuracy("accuracy", headline=not groups),
            *(_accuracy(name, members, headline=True, abilities=[name]) for name, members in groups.items()),
            *(
                _accuracy(kind, [kind], abilities=[g for g, members in groups.items() if kind in members])
                for kind in kinds
            ),
        ]

    @property
    def evaluator(self) -> dict[str, str]:
        """No model reads answers."""
        return {"name": "exact match after normalisation"}


def _choices(row: Row) -> tuple[Sequence[str], str]:
    """The options of a question and the right one; every row of this task has both."""
    if row.options is None or row.answer is None:
        raise ValueError(f"row {row.id!r} has no options or no answer")
    return row.options, row.answer


def _place_of_answer(row: Row) -> int:
    options, answer = _choices(row)
    return options.index(answer)


def _accuracy(title: str, kinds: Sequence[str] = (), headline: bool = False, abilities: Sequence[str] = ()) -> Metric:
    return Metric(
        name=f"accuracy/{title}" if kinds else title,
        title=title.replace("_", " "),
        column="accuracy",
        where={"kind": list(kinds)} if kinds else {},
        cluster="scene",
        unit="share of questions",
        headline=headline,
        abilities=abilities,
        chance="chance",
    )


def normalised(text: str) -> str:
    """Lower case, without surrounding white space, a final full stop or repeated blanks."""
    return " ".join(text.lower().split()).rstrip(". ")
