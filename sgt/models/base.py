"""What every model family offers."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor, nn

from sgt.config.benchmarks import Solver
from sgt.config.recipe import Part, TimeSampling, TimeShift
from sgt.errors import SgtError
from sgt.models.examples import Example
from sgt.models.flow import Stratum


class Batch(Protocol):
    """Collated examples, of any family.

    Attributes:
        tokens: tokens the model works through.
        ce_tokens, mse_tokens: tokens that each loss is summed over, counted by their weights.
    """

    tokens: int
    ce_tokens: float
    mse_tokens: float


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


@dataclass(frozen=True)
class GenerationSettings:
    """How images are sampled.

    Attributes:
        num_steps: steps from noise to image; the official BAGEL code counts time points, one more.
        shift: see :func:`sgt.models.flow.shift_factor`.
        cfg_text_scale, cfg_image_scale: classifier-free guidance; at most 1 switches the branch off.
        cfg_interval: (low, high]: times at which guidance acts, 1 being noise. OmniGen2 counts steps: it acts while the
            share of steps done is in [1 − high, 1 − low].
        renorm: ``global``, ``channel`` or ``text_channel``: how BAGEL's guided velocity is rescaled.
        renorm_min: lower bound of the rescaling; 1 switches it off.
        solver: ``euler``, or ``dpmsolver++`` (OmniGen2).
        negative_prompt: what OmniGen2 guides away from; None stands for no prompt, as in training.
        system: if given, a text before everything else that asks the model to think: what it then says of the
            prompt is read after it.
        think_tokens: after which a thought is cut off.
    """

    num_steps: int = 49
    shift: TimeShift = 3.0
    cfg_text_scale: float = 4.0
    cfg_image_scale: float = 1.0
    cfg_interval: tuple[float, float] = (0.4, 1.0)
    renorm: str = "global"
    renorm_min: float = 0.0
    solver: Solver = "euler"
    negative_prompt: str | None = None
    system: str | None = None
    think_tokens: int = 1000


class MadeTransform(Protocol):
    """From any image to one that a model can make."""

    def size(self, width: int, height: int) -> tuple[int, int]:
        """The (width, height) that an image of this size is scaled to."""

    def resize(self, image: Image.Image) -> Image.Image:
        """The scaled RGB image; palette images, whose colours are labels, keep them."""

    def __call__(self, image: Image.Image) -> Tensor:
        """fp32 (3, H, W) in [-1, 1]."""


def _inference(method: Callable) -> Callable:
    """Run a method of a model without gradients and in the model's arithmetic."""

    @wraps(method)
    def run(self: "UnifiedModel", *args: Any, **kwargs: Any) -> Any:
        with torch.no_grad(), self.arithmetic():
            return method(self, *args, **kwargs)

    return run


class UnifiedModel(ABC):
    """A model that answers questions about images and makes images.

    Attributes:
        network: the weights that post-training changes.
        autocast: run the network's matrix products in bf16, whatever its weights are.
        length_weighted: the loss weighs each answer's tokens by 1/√(tokens of that answer).
        time_sampling: how the flow's training times are drawn.
    """

    network: nn.Module
    autocast: bool = False
    length_weighted: bool = False
    time_sampling: TimeSampling = "lognormal"

    @property
    def device(self) -> torch.device:
        """Where the network's weights are."""
        return next(self.network.parameters()).device

    def arithmetic(self) -> torch.autocast:
        """The context in which the network runs; what must stay in fp32 is so in every one."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast)

    @classmethod
    @abstractmethod
    def from_checkpoint(
        cls,
        folder: Path,
        vit_image: Sequence[int],
        vae_image: Sequence[int],
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        overlay: Path | None = None,
    ) -> "UnifiedModel":
        """Load from a folder in the family's official layout.

        Args:
            folder: the checkpoint.
            vit_image, vae_image: three numbers about the images it sees and makes; see
                :class:`sgt.config.models.Model`.
            dtype: of the network's weights; the VAE stays in fp32.
            device: of everything.
            overlay: folder with weights alone, which are taken instead of the checkpoint's of the same names.

        Raises:
            SgtError: a file or tensor is missing, unexpected or misshapen.
        """

    @classmethod
    @abstractmethod
    def without_weights(cls, folder: Path, vit_image: Sequence[int], vae_image: Sequence[int]) -> "UnifiedModel":
        """A checkpoint's model without its weights, to judge examples with; see :meth:`check`.

        Raises:
            SgtError: a file is missing or damaged.
        """

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
        """Parts of the network that run one after another, whose weights can be gathered one at a time."""

    @abstractmethod
    def activation_checkpointing(self, on: bool) -> None:
        """Whether training keeps activations or works them out again in the backward pass."""

    def compile(self) -> None:
        """Compile what a step does over and over.

        Raises:
            SgtError: the family has nothing to compile.
        """
        raise SgtError("recipe.compile", f"{type(self).__name__} is not compiled", "remove it")

    @abstractmethod
    def tokens(self, example: Example) -> int:
        """How many tokens an example takes in a batch."""

    @abstractmethod
    def check(self, example: Example) -> int:
        """How many tokens an example takes in a batch, after seeing that the model can take it.

        Args:
            example: no pixel of it is touched, so in the place of its images may be anything with a ``size``.

        Raises:
            SgtError: it is too long for the model, or an image too large or too narrow.
        """

    @abstractmethod
    def batch(
        self, examples: Sequence[Example], seeds: Sequence[int], strata: Sequence[Stratum] | None = None
    ) -> Batch:
        """Tokenise and collate examples, on the CPU.

        Args:
            examples: at least one.
            seeds: one per example, of every random draw of its loss, which so depends on nothing beside it.
            strata: one per example, in which its image's time lies if times are stratified; by default they are among
                the images of this batch.

        Raises:
            SgtError: an example is too long for the model, or an image too large.
        """

    @abstractmethod
    def loss(self, batch: Batch, timestep_shift: TimeShift) -> LossSums:
        """Text cross-entropy and flow-matching error of a batch, which is moved to the model's device."""

    @_inference
    def answer(
        self,
        images: Sequence[Image.Image],
        questions: Sequence[Sequence[str]],
        max_new_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
        system: str | None = None,
    ) -> list[list[str]]:
        """Answers: ``questions[i]`` are about ``images[i]``, each answered on its own.

        Args:
            images: one per list of questions.
            questions: as many as there are, per image.
            max_new_tokens: after which an answer is cut off.
            temperature: 0 takes the most likely token, else tokens are drawn.
            seed: of the draws, which depend on it and the question alone.
            system: a text before everything else.

        Returns:
            An answer per question, by image. One that fills the model's context is cut off there.

        Raises:
            SgtError: an image or a question is too long for the model, or the images are not as many as the lists.
        """
        _see_as_many("lists of questions", questions, "images", images)
        if not any(questions):
            return [[] for _ in questions]
        return self._answer(images, questions, max_new_tokens, temperature, seed, system)

    @_inference
    def score(self, image: Image.Image, question: str, options: Sequence[str]) -> list[float]:
        """Log-probability (nats) of each option as the whole answer.

        Raises:
            SgtError: the image, the question or an option is too long for the model.
        """
        return self._score(image, question, options) if options else []

    @_inference
    def generate(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        size: tuple[int, int],
        settings: GenerationSettings,
        images: Sequence[Image.Image] | None = None,
        edit: bool = False,
    ) -> list[Image.Image]:
        """Make one RGB image per prompt.

        Args:
            prompts: instructions.
            seeds: one per prompt; the noise depends on the prompt and its seed alone.
            size: (height, width) in pixels.
            settings: of the sampler.
            images: if given, what each instruction is about, shown through the semantic encoder.
            edit: show them through the VAE too, as for editing.

        Raises:
            SgtError: an image or a prompt is too large for the model, or there are not as many seeds or images as
                prompts.
        """
        _see_as_many("prompts", prompts, "seeds", seeds)
        if images is not None:
            _see_as_many("prompts", prompts, "images", images)
        return self._generate(prompts, seeds, size, settings, images, edit) if prompts else []

    @abstractmethod
    def _answer(
        self,
        images: Sequence[Image.Image],
        questions: Sequence[Sequence[str]],
        max_new_tokens: int,
        temperature: float,
        seed: int,
        system: str | None,
    ) -> list[list[str]]:
        """See :meth:`answer`: as many images as lists, and at least one question."""

    @abstractmethod
    def _score(self, image: Image.Image, question: str, options: Sequence[str]) -> list[float]:
        """See :meth:`score`: at least one option."""

    @abstractmethod
    def _generate(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        size: tuple[int, int],
        settings: GenerationSettings,
        images: Sequence[Image.Image] | None,
        edit: bool,
    ) -> list[Image.Image]:
        """See :meth:`generate`: at least one prompt, as many seeds, and as many images if there are any."""


def _see_as_many(what: str, some: Sequence, others: str, given: Sequence) -> None:
    if len(some) != len(given):
        raise SgtError("request", f"{len(some)} {what} and {len(given)} {others}", "give as many of each")
