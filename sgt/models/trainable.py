"""What training needs of a model family: examples collated into batches, and their losses."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from torch import Tensor, nn

from sgt.config.recipe import Part, TimeSampling, TimeShift
from sgt.errors import SgtError
from sgt.models.examples import Example
from sgt.models.flow import Stratum
from sgt.models.loaded import LoadedModel
from sgt.models.tower import VisionTower


class Batch(Protocol):
    """Collated examples, of any family."""

    @property
    def tokens(self) -> int:
        """Tokens in the batch, without padding."""

    @property
    def ce_tokens(self) -> float:
        """Tokens that the cross-entropy is summed over, counted by their weights."""

    @property
    def mse_tokens(self) -> float:
        """Tokens that the velocity error is summed over."""


BatchT = TypeVar("BatchT", bound=Batch)


@dataclass(frozen=True)
class LossSums:
    """Losses of one batch, summed over its tokens (scalars with gradient to every trainable parameter).

    A sum over no tokens is zero, with a gradient that is zero: processes that share a model must all have one.

    Attributes:
        ce: cross-entropy, nats.
        mse: squared velocity error, averaged within each token.
    """

    ce: Tensor
    mse: Tensor


class Trainable(LoadedModel, Generic[BatchT]):
    """A model whose losses can be computed, of the batches of its family.

    Attributes:
        length_weighted: the loss weights each answer's tokens by 1/√(tokens of that answer).
        time_sampling: how the flow's training times are drawn.
    """

    length_weighted: bool = False
    time_sampling: TimeSampling = "lognormal"

    @abstractmethod
    def save_checkpoint(self, folder: Path, weights: dict[str, Tensor] | None = None) -> None:
        """Write the official layout into an existing folder; ``weights`` replace the network's own (an average)."""

    @abstractmethod
    def part(self, name: str) -> Part:
        """Which part of the model a parameter of the network belongs to.

        ``understanding`` and ``generation`` are the experts with what is theirs alone, ``vision`` the semantic encoder
        and its connector, ``vocabulary`` the embedding and the text head.
        """

    @property
    @abstractmethod
    def blocks(self) -> list[nn.Module]:
        """Modules of the network that run one after another, whose weights FSDP gathers one at a time."""

    @property
    def tower(self) -> VisionTower | None:
        """Its semantic encoder, for measurements; None if it has none of its own."""
        return None

    @abstractmethod
    def activation_checkpointing(self, on: bool) -> None:
        """Whether training keeps activations or recomputes them in the backward pass."""

    def compile(self) -> None:
        """Compile the layers that each training step runs.

        Raises:
            SgtError: the family has nothing to compile.
        """
        raise SgtError("recipe.compile", f"{type(self).__name__} is not compiled", "remove it")

    @abstractmethod
    def tokens(self, example: Example) -> int:
        """How many tokens an example takes in a batch."""

    @abstractmethod
    def check(self, example: Example) -> int:
        """How many tokens an example takes in a batch, after checking that the model accepts it.

        Args:
            example: only the size of its images is read: a :class:`sgt.models.examples.ImageOutline` may stand for one.

        Raises:
            SgtError: it is too long for the model, or an image too large or too narrow.
        """

    @abstractmethod
    def batch(
        self, examples: Sequence[Example], seeds: Sequence[int], strata: Sequence[Stratum] | None = None
    ) -> BatchT:
        """Tokenise and collate examples, on the CPU.

        Args:
            examples: at least one.
            seeds: one per example, of every random draw of its loss, which thus depends on no other example.
            strata: one per example, in which its image's time lies if times are stratified; by default they are among
                the images of this batch.

        Raises:
            SgtError: an example is too long for the model, or an image too large.
        """

    @abstractmethod
    def loss(self, batch: BatchT, timestep_shift: TimeShift) -> LossSums:
        """Text cross-entropy and flow-matching error of a batch, which is moved to the model's device."""

    @abstractmethod
    def velocity_errors(self, examples: Sequence[Example], seeds: Sequence[int], time: float) -> Tensor:
        """Flow-matching error of each example's target image at one time, without gradient.

        An example's error does not depend on the others of the call.

        Args:
            examples: at least one, each with one target image. Processes that share the weights must call together.
            seeds: one per example, as for :meth:`batch`: of the noise.
            time: of the flow, shifted already, between 0 (data) and 1 (noise).

        Returns:
            fp32 (examples,): mean squared velocity error, on the CPU.
        """
