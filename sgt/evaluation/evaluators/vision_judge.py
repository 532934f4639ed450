"""An evaluator that puts questions about images to a judge, whatever the benchmark."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from sgt.config.judges import Judge
from sgt.errors import SgtError
from sgt.evaluation.evaluators import judge_kit
from sgt.evaluation.evaluators.endpoint import Endpoint
from sgt.evaluation.evaluators.judge_calls import Answer, Backend, Call
from sgt.evaluation.evaluators.local_judge import LocalJudge
from sgt.evaluation.task import Evaluator, Judgement, Row, SelfCheckFailed

UNANSWERED = ("timeout", "error")


class Questions(Protocol):
    """What a benchmark asks a judge about an image."""

    @property
    def name(self) -> str:
        """Of the benchmark's task."""

    @abstractmethod
    def calls(self, row: Row, image: Image.Image) -> Sequence[Call]:
        """The questions about one row, in order."""

    @abstractmethod
    def read(self, row: Row, number: int, text: str) -> Any:
        """What the reply to one question says, as JSON; None if it cannot be read."""


class VisionJudge(Evaluator):
    """Puts a benchmark's questions to a judge, so often as it is configured.

    A row's record has its ``status`` and for each repeat the status and the ``calls``: of each question ``status``,
    ``value`` (what was read), ``text``, ``model`` (as the server named it) and ``kept`` (file of the raw reply). A row
    is ``ok`` if every reply of every repeat was read; else its status is that of the first that was not.

    Args:
        questions: of the benchmark.
        judge: who answers.
        replies: folder of raw replies.
        pairs: it is asked about two images at once, as of edits, and checked with such ones too.
    """

    def __init__(self, questions: Questions, judge: Judge, replies: Path, pairs: bool = False) -> None:
        self.name = f"{questions.name} by {judge.name}"
        self._questions, self._judge, self._pairs = questions, judge, pairs
        backend: Backend = Endpoint(judge, replies) if judge.url else LocalJudge(Path(str(judge.checkpoint)), replies)
        self._backend = backend

    def identity(self) -> dict[str, Any]:
        """The judge and how often it is asked."""
        return {"judge": self._backend.identity(), "repeats": self._judge.repeats, "kit": judge_kit.VERSION}

    def prove(self) -> dict[str, Any]:
        """Questions about pictures with known content.

        Raises:
            SelfCheckFailed: too few of the replies are right. None of them is kept, so that a judge that was corrected
                is checked anew.
            SgtError: too few calls are answered.
        """
        known = judge_kit.kit(self._pairs)
        answers = self._backend.ask([each.call for each in known])
        self._require_answers(answers)
        right = sum(_yes_or_no(got.text) == each.answer for each, got in zip(known, answers, strict=True))
        rate = right / len(known)
        if rate < judge_kit.REQUIRED:
            for each in known:
                self._backend.kept.drop(each.call)
            problem = f"{right} of {len(known)} replies about pictures with known content are right"
            remedy = f"{judge_kit.REQUIRED:.0%} must be: see that the model takes images, or use another"
            raise SelfCheckFailed(f"judge {self._judge.name}", problem, remedy)
        models = sorted({answer.model for answer in answers if answer.model})
        checked = {"pictures": len(known), "right": right, "rate": rate, "required": judge_kit.REQUIRED}
        return {**checked, "models": models}

    def judge(self, rows: Sequence[Row], replies: Sequence[Image.Image]) -> list[Judgement]:
        """The records, in order.

        Raises:
            SgtError: more of the calls end without a reply than the judge's file allows.
        """
        calls = [
            [replace(call, repeat=repeat) for repeat in range(self._judge.repeats) for call in asked]
            for asked in (self._questions.calls(row, image) for row, image in zip(rows, replies, strict=True))
        ]
        answers = self._backend.ask([call for of_row in calls for call in of_row])
        self._require_answers(answers)
        rest = iter(answers)
        return [self._record(row, [next(rest) for _ in of_row]) for row, of_row in zip(rows, calls, strict=True)]

    def _require_answers(self, answers: Sequence[Answer]) -> None:
        failed = [answer for answer in answers if answer.outcome in UNANSWERED]
        if len(failed) > self._judge.failures_allowed * len(answers):
            problem = f"{len(failed)} of {len(answers)} calls ended without a reply (first: {failed[0].text})"
            raise SgtError(f"judge {self._judge.name}", problem, "run it again later: what was answered is kept")

    def _record(self, row: Row, answers: Sequence[Answer]) -> Judgement:
        of_each = len(answers) // self._judge.repeats
        repeats = [
            self._repeat(row, answers[start : start + of_each]) for start in range(0, len(answers), of_each or 1)
        ]
        return {"status": _first_failure(repeats), "repeats": repeats}

    def _repeat(self, row: Row, answers: Sequence[Answer]) -> Judgement:
        calls = []
        for number, answer in enumerate(answers):
            value = self._questions.read(row, number, answer.text) if answer.outcome == "ok" else None
            status = "unparsable" if answer.outcome == "ok" and value is None else answer.outcome
            about = {"text": answer.text, "model": answer.model, "kept": answer.kept}
            calls.append({"status": status, "value": value, **about})
        return {"status": _first_failure(calls), "calls": calls}


def _first_failure(records: Sequence[Judgement]) -> str:
    return next((each["status"] for each in records if each["status"] != "ok"), "ok")


def _yes_or_no(text: str) -> str:
    """The first word, without marks around it."""
    words = text.lower().split()
    return words[0].strip(".,:;!*\"'") if words else ""
