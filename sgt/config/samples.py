"""What the samples of a dataset have: how many there are, in how many shards, and what each holds."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sgt.config.fields import Strict


@dataclass(frozen=True)
class TypicalText:
    """How long the texts of a sample are on average, for estimates of compute.

    Attributes:
        turns: questions with their answers.
        tokens: of all of them, without what a model family puts around each.
        answers: of the answers alone.
        independent: no question attends to another.
    """

    turns: int
    tokens: int
    answers: int
    independent: bool = False


class Samples(Strict):
    """What the samples of a dataset have besides an image; each kind of dataset overrides this.

    Attributes:
        texts: ``questions`` with one right answer each, ``captions`` that name what is there, ``conversations``.
        classes: whether annotations name their category.
        text: of one sample that is trained on as questions.
        counted: whether ``count`` is exact, so that more cannot be used.
        sorted_by: what the samples are sorted by, so that the first ones are not like all; empty if nothing.
    """

    texts: ClassVar[frozenset[str]] = frozenset()
    classes: ClassVar[bool] = False
    text: ClassVar[TypicalText] = TypicalText(turns=1, tokens=196, answers=99)
    counted: ClassVar[bool] = True
    sorted_by: ClassVar[str] = ""

    @property
    def files(self) -> frozenset[str]:
        """Extensions of their other files; ``json`` if it holds annotations."""
        return frozenset({"json"})

    @property
    @abstractmethod
    def drawn_from(self) -> frozenset[str]:
        """Where its images are from: two datasets that have one of these in common may have images in common."""

    @property
    @abstractmethod
    def count(self) -> int:
        """About how many samples there are, at most."""

    @property
    @abstractmethod
    def sample_bytes(self) -> int:
        """About how many bytes a sample takes, for estimates of disk; of photographs, as released."""

    @property
    @abstractmethod
    def sample_pixels(self) -> int:
        """About how many pixels the image of a sample has, for estimates of disk; of photographs, as released."""

    @property
    @abstractmethod
    def shards(self) -> int:
        """How many shards there are."""

    def shards_of(self, limit: int | None) -> int:
        """How many shards, from the first, surely hold the first ``limit`` samples; None for all samples."""
        return self.shards


class SamplesInShards(Samples):
    """Samples that fill shards of ``per_shard`` each, a number that the study chooses."""

    # Each kind of dataset has the field among its own, with its own description.
    if TYPE_CHECKING:
        per_shard: int

    @property
    def shards(self) -> int:
        """How many shards the samples fill."""
        return -(-self.count // self.per_shard)
