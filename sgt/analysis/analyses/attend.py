"""Attention allocation: what questions and latents attend to, layer by layer, in the model's own and the released form.

The published figures show the released form as a change against the base model; reporting compares the runs.
"""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, field_validator

from sgt.analysis.analysis import Analysis
from sgt.analysis.words import KINDS, OTHER, WORD, KeywordKinds, Kind
from sgt.config.analyses import AnalysisOptions
from sgt.config.samples import Samples
from sgt.errors import SgtError

if TYPE_CHECKING:
    from sgt.data.dataset import ShardDataset
    from sgt.models.unified import UnifiedModel

ASKS, DESCRIBES = frozenset({"questions", "conversations"}), "captions"


class Attend(Analysis):
    """Shares of attention, per item and layer, while questions are answered and while captions are drawn.

    What the data has decides which of the two there are: questions or conversations, captions, or both.
    """

    class Options(AnalysisOptions):
        """When latents are looked at, and which words are keywords of which kind."""

        analysis: Literal["attend"]
        times: Annotated[list[Annotated[float, Field(gt=0, le=1)]], Field(min_length=1)] = Field(
            [0.9, 0.6, 0.3], description="times of the flow, 1 being noise, at which latents attend to the prompt"
        )
        keywords: dict[Kind, list[str]] = Field(
            KINDS, description="words of a kind, in place of those of the built-in scenes; all others are `other`"
        )

        @field_validator("keywords")
        @classmethod
        def _of_one_kind(cls, keywords: dict[Kind, list[str]]) -> dict[Kind, list[str]]:
            keywords = {**KINDS, **keywords}
            words = [word for some in keywords.values() for word in some]
            if twice := sorted({word for word in words if words.count(word) > 1}):
                raise ValueError(f"{twice[0]!r} is listed twice: keep it in one kind")
            for word in words:
                if not WORD.fullmatch(word) or word != word.lower():
                    raise ValueError(f"{word!r} would never be found in a caption: list single words in lower case")
            return keywords

        def missing_from(self, dataset: Samples) -> str | None:
            """See :meth:`AnalysisOptions.missing_from`."""
            return None if dataset.texts & {*ASKS, DESCRIBES} else "questions, conversations or captions"

    options: Options
    name = "attend"

    def measure(self, model: "UnifiedModel", dataset: "ShardDataset") -> dict[str, Any]:
        """See :meth:`Analysis.measure`: ``answering`` and ``generating``, each with keys and shares.

        Raises:
            SgtError: no sample has an image with a question or a caption.
        """
        from sgt.analysis.attention import while_answering, while_generating

        keywords = KeywordKinds(self.options.keywords)
        found = {
            "answering": while_answering(model, dataset),
            "generating": while_generating(model, dataset, self.options.times, keywords, [*KINDS, OTHER]),
        }
        found = {name: each for name, each in found.items() if each["key"]}
        if not found:
            where = f"dataset {self.options.dataset}"
            raise SgtError(where, "no sample has an image with a question or a caption", "name another in analyses")
        return found
