"""Questions about toyworld scenes, each with one right answer: accuracy and log-probability of it by kind of question.

Arithmetic and parity are reasoning about a count that has to be seen first. These questions name the question for that
count, their twin, and are also scored over those whose twin is answered right.
"""

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator

from sgt.config.benchmarks import RatedAnswerBenchmark
from sgt.config.fields import Name
from sgt.config.inference import DecodingOptions
from sgt.data.conversations import check_questions
from sgt.data.images import image_of
from sgt.data.shards import Sample
from sgt.data.toyworld.questions import KINDS
from sgt.errors import SgtError
from sgt.evaluation.metrics import Metric
from sgt.evaluation.task import Parsed, Row, Status, Task
from sgt.models.requests import RatedReply

# A question that occurs at least so often has a best constant answer of its own; rarer ones share one per template.
OWN_CONSTANT = 30
# Of a question without a twin there is no count to be right.
COUNT_IS_RIGHT, COUNT_IS_WRONG, NO_COUNT = "yes", "no", "none"


class ToyworldQA(Task[RatedReply]):
    """Answers match exactly, after normalisation; the right answer is also rated."""

    class Options(RatedAnswerBenchmark):
        """Decoding, and which kinds of question are summed up together."""

        needs = "questions"
        scoring_version = 2
        scoring_fields = frozenset({"groups"})

        task: Literal["toyworld-qa"]
        dataset: Name = Field(description="dataset of the study that the questions come from")
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
    explanations: ClassVar[Mapping[str, str]] = {
        "accuracy": "share of questions whose whole reply is the right answer",
        "logprob": "mean log-probability, in nats, of the right answer as the whole reply; 0 is certainty",
        "count_is_right": "the count that the question reasons about was answered right",
    }
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
                    extra={"twin": question["twin"]} if "twin" in question else {},
                )

    def continuations(self, row: Row, protocol: str) -> Sequence[str]:
        """The right answer alone: rating every option would cost several times as much."""
        return [_choices(row)[1]]

    def parse(self, row: Row, reply: RatedReply, protocol: str) -> Parsed:
        """The whole reply is the answer; with it the likelihood of the right one."""
        answer = normalised(reply.text)
        options, _ = _choices(row)
        (right,) = reply.likelihoods
        status: Status = "direct" if answer in map(normalised, options) else "none"
        return Parsed((answer, right.logprob + right.end_logprob), status)

    def score(self, row: Row, parsed: Parsed) -> dict[str, float]:
        """``accuracy``: 1 if the answer is right; ``logprob``: of the right answer as the whole reply, nats."""
        answer, logprob = parsed.value
        return {"accuracy": int(answer == normalised(_choices(row)[1])), "logprob": logprob}

    def joint_columns(self, rows: Sequence[Row], items: Mapping[str, Sequence[Any]]) -> Mapping[str, list]:
        """``count_is_right``: of the question's twin, ``yes`` or ``no``; ``none`` without a twin.

        Raises:
            SgtError: the twin of a question is not among the rows.
        """
        twins = {row.extra["twin"] for row in rows if "twin" in row.extra}
        answered = zip(items["id"], items.get("accuracy", ()), strict=True)
        right = {name: value for name, value in answered if name in twins}
        column = []
        for row in rows:
            twin = row.extra.get("twin")
            if twin is not None and twin not in right:
                raise SgtError(f"task {self.name}", f"row {row.id!r} has no row {twin!r}, its twin", "make one")
            column.append(NO_COUNT if twin is None else COUNT_IS_RIGHT if right[twin] else COUNT_IS_WRONG)
        return {"count_is_right": column}

    def chance(self, rows: Sequence[Row]) -> list[int]:
        """Per question, whether the best constant answer to questions of its form is right (1) or not (0).

        This is the level that a model must exceed to have used the image. A form is the question itself if it is
        frequent; else its kind, its first two words and its number of options. The constant is a place among the
        options (``the first that is named``), which for fixed options is an answer. As it is chosen in hindsight it is
        a little too good, so exceeding it is a little harder than it must be.
        """
        occurrences = Counter(row.question for row in rows)
        forms: defaultdict[Any, array] = defaultdict(lambda: array("L"))
        answers = array("L")
        for place, row in enumerate(rows):
            options, answer = _choices(row)
            answers.append(options.index(answer))
            template = (row.dimensions["kind"], *row.question.split()[:2], len(options))
            forms[row.question if occurrences[row.question] >= OWN_CONSTANT else template].append(place)
        right = [0] * len(rows)
        for members in forms.values():
            best = Counter(answers[place] for place in members).most_common(1)[0][0]
            for place in members:
                right[place] = int(answers[place] == best)
        return right

    def metrics(self, rows: Sequence[Row]) -> list[Metric]:
        """Accuracy and log-probability of all questions, of each group of kinds and of each kind.

        Groups and kinds that have twins throughout are also summed up where the count is right. For such a group that
        is the headline: where the count is wrong, it is perception that failed.
        """
        kinds = list(dict.fromkeys(row.dimensions["kind"] for row in rows))
        without_twin = {row.dimensions["kind"] for row in rows if "twin" not in row.extra}
        groups = {name: set(members) & set(kinds) for name, members in self.options.groups.items()}
        groups = {name: members for name, members in groups.items() if members}
        parts = [_Part("", headline=not groups)]
        for name, members in groups.items():
            with_twins = members.isdisjoint(without_twin)
            parts.append(_Part(name, sorted(members), [name], headline=not with_twins))
            if with_twins:
                parts.append(_Part(name, sorted(members), [name], headline=True, count_is_right=True))
        for kind in kinds:
            abilities = [name for name, members in groups.items() if kind in members]
            parts.append(_Part(kind, [kind], abilities))
            if kind not in without_twin:
                parts.append(_Part(kind, [kind], abilities, count_is_right=True))
        return [*(part.accuracy for part in parts), *(part.logprob for part in parts)]

    @property
    def evaluator(self) -> dict[str, str]:
        """No model reads answers."""
        return {"name": "exact match after normalisation"}


@dataclass(frozen=True)
class _Part:
    """Some of the questions, which both measures are means over.

    Attributes:
        name: of the kind or group; empty for all questions.
        kinds: which it has; empty for all.
        abilities: see :class:`~sgt.evaluation.metrics.Metric`.
        headline: whether its accuracy is one.
        count_is_right: only questions whose twin is answered right.
    """

    name: str
    kinds: Sequence[str] = ()
    abilities: Sequence[str] = ()
    headline: bool = False
    count_is_right: bool = False

    @property
    def accuracy(self) -> Metric:
        """Share of right answers."""
        return Metric(
            name=self._name("accuracy"),
            title=self._title or "accuracy",
            column="accuracy",
            unit="share of questions",
            headline=self.headline,
            chance="chance",
            **self._common,
        )

    @property
    def logprob(self) -> Metric:
        """Mean log-probability of the right answer. It is finer than accuracy, but no headline: overfitted models are
        over-confident where they are wrong, and a few such answers decide the mean."""
        title = f"log-probability, {self._title}" if self._title else "log-probability"
        return Metric(
            name=self._name("logprob"), title=title, column="logprob", unit="nats", range=(None, 0.0), **self._common
        )

    @property
    def _common(self) -> dict[str, Any]:
        where = {"kind": list(self.kinds)} if self.kinds else {}
        if self.count_is_right:
            where["count_is_right"] = [COUNT_IS_RIGHT]
        return {"where": where, "cluster": "scene", "abilities": self.abilities}

    def _name(self, measure: str) -> str:
        return "/".join(filter(None, (measure, self.name))) + ("_given_count" if self.count_is_right else "")

    @property
    def _title(self) -> str:
        return self.name.replace("_", " ") + (" where the count is right" if self.count_is_right else "")


def _choices(row: Row) -> tuple[Sequence[str], str]:
    """The options of a question and the right one; every row of this task has both."""
    if row.options is None or row.answer is None:
        raise ValueError(f"row {row.id!r} has no options or no answer")
    return row.options, row.answer


def normalised(text: str) -> str:
    """Lower case, without surrounding white space, a final full stop or repeated blanks."""
    return " ".join(text.lower().split()).rstrip(". ")
