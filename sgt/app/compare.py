"""Every arm of a study on one picture: answers with their attention, drawings, and what each arm fixed and broke."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image

from sgt.app.interactive import InteractiveRun, RatedOption
from sgt.app.one_model import OneModel
from sgt.app.results import StudyResults
from sgt.app.targets import target_of_picture
from sgt.config.study import ARM_WITHOUT_TRAINING
from sgt.data.dataset import ShardDataset, open_dataset
from sgt.data.shards import Sample
from sgt.errors import SgtError
from sgt.models.requests import Reply
from sgt.proxies.render import target_of
from sgt.reporting.changes import Changes, changes
from sgt.reporting.contents import analyses_of
from sgt.reporting.scores import Scores
from sgt.study.releases import arm_label
from sgt.study.results import Results, require_current
from sgt.study.runs import Run

# Of a reply, so that a visitor does not wait for a model that never ends.
MAX_NEW_TOKENS = 64


@dataclass(frozen=True)
class Answered:
    """What an arm answered; without a reply, why there is none.

    Attributes:
        attention: where on the picture the arm looks before it answers, of a study with an analysis of attention: see
            :meth:`InteractiveModel.attention`.
    """

    arm: str
    reply: Reply | None = None
    options: Sequence[RatedOption] = ()
    attention: Sequence[np.ndarray] = ()
    error: str = ""


@dataclass(frozen=True)
class Drawn:
    """What a proxy arm drew; without a drawing, why there is none.

    Attributes:
        given: what the model was shown, if its proxy degrades pictures.
        target: the true one, if there are annotations for it.
    """

    arm: str
    made: Image.Image | None = None
    given: Image.Image | None = None
    target: Image.Image | None = None
    error: str = ""


class Comparison:
    """A study's arms side by side.

    Args:
        study: whose runs are compared.
        limit: of the weights of one run, bytes.
    """

    def __init__(self, study: StudyResults, limit: float) -> None:
        self.results, self.study = study, study.study
        self.models = OneModel(study, limit)

    @cached_property
    def scenes(self) -> ShardDataset | None:
        """The held-out pictures; None if the study has none, or they are not made."""
        name = self.study.held_out
        if name is None or Results(self.study).dataset(name).fault():
            return None
        return open_dataset(self.study.dataset_dir(name))

    def scene(self, place: int) -> Sample:
        """A held-out picture with its annotations.

        Raises:
            SgtError: there is none at this place.
        """
        count = len(self.scenes) if self.scenes else 0
        if self.scenes is None or not 0 <= place < count:
            remedy = f"use 0 to {count - 1}" if count else "upload a picture"
            raise SgtError("held-out pictures", f"no picture {place}", remedy)
        return self.scenes[place]

    def runs(self, model: str, seed: int) -> list[Run]:
        """The runs of a model with a seed; its base has one run for all seeds."""
        base = self.study.study.seeds[0]
        return [
            run
            for run in self.study.evaluated_runs
            if run.model == model and (run.seed == seed or (run.arm == ARM_WITHOUT_TRAINING and run.seed == base))
        ]

    def answers(
        self, picture: Image.Image, model: str, seed: int, question: str, options: Sequence[str]
    ) -> Iterator[Answered]:
        """Each arm's reply to a question about a picture, and how likely given options are, one arm after another."""
        attends = bool(analyses_of(self.study, "attend"))
        for run in self.runs(model, seed):
            arm = arm_label(self.study, model, run.arm)
            try:
                with self.models.run(run.id) as opened:
                    reply = opened.answer(question, picture, max_new_tokens=MAX_NEW_TOKENS)
                    rated = opened.rate(question, options, picture) if options else []
                    attention = opened.attention(question, picture) if attends else []
                found = Answered(arm, reply, rated, attention)
            except SgtError as error:
                found = Answered(arm, error=str(error))
            yield found

    def drawings(self, picture: Image.Image, model: str, seed: int, sample: Sample | None) -> Iterator[Drawn]:
        """What each proxy arm makes of a picture, one arm after another.

        Args:
            picture: to be shown.
            model, seed: whose arms.
            sample: of the picture, for true targets; None of an upload, of which some proxies render one, too.
        """
        for run in self.runs(model, seed):
            # A transplant has the name of an arm, and no proxy of its own.
            if run.proxy is None or run in self.study.transplant_runs:
                continue
            try:
                with self.models.run(run.id) as opened:
                    made = opened.draw_target(picture)
                    given = opened.target_input(picture)
                found = self._drawn(opened, made, given, picture, sample)
            except SgtError as error:
                found = Drawn(run.arm, error=str(error))
            yield found

    def _drawn(
        self,
        run: InteractiveRun,
        made: Image.Image,
        given: Image.Image,
        picture: Image.Image,
        sample: Sample | None,
    ) -> Drawn:
        proxy = run.proxy
        assert proxy is not None
        target = _target(run, picture, sample)
        if target is not None:
            target = target.resize(made.size, Image.Resampling.NEAREST)
            made = proxy.displayed(made, target)
        return Drawn(run.run.arm, made, given if proxy.degrades else None, target)

    @cached_property
    def changes(self) -> Changes:
        """The questions that each arm fixed and broke against the control, counted by kind.

        Raises:
            SgtError: scores are missing or outdated.
        """
        require_current(*Results(self.study).reported)
        return changes(Scores(self.study))


def _target(run: InteractiveRun, picture: Image.Image, sample: Sample | None) -> Image.Image | None:
    """The true target, RGB; None where it would take annotations that are not there."""
    proxy = run.proxy
    assert proxy is not None
    if sample is not None and proxy.applies_to(sample):
        return target_of(proxy, sample).convert("RGB")
    return None if proxy.needs else target_of_picture(proxy, picture)
