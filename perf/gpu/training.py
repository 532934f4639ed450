"""The training step: tokens per second, model FLOPs utilization (MFU), and peak memory beside the estimate.

MFU is ``step_flops(sizes, recipe, tokens) / (seconds * peak)`` (:func:`sgt.models.estimate.step_flops`): two operations
per parameter that a token passes (one expert per token) and four per key that a query attends to under its mask and per
number of a head, three times for forward and backward (twice where weights are frozen), and the VAE's encoder once.
Recomputation, padding and what a kernel computes beyond the mask do not count. The peak is that of dense bf16.
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

import torch
from torch import Tensor

from perf.gpu.rows import Row
from perf.gpu.setting import Setting, synchronize
from perf.random_models import batch_tokens, random_examples, random_model
from perf.train_step import PEAK_FLOPS
from sgt.config.models import Model
from sgt.config.recipe import LoRA, Recipe
from sgt.models import estimate
from sgt.models.registry import DTYPES, sizes_of
from sgt.models.rules import rules_of
from sgt.models.sizes import ModelSizes, Tokens
from sgt.models.unified import UnifiedModel
from sgt.training.optimizer import make_adamw
from sgt.training.trainable import make_trainable


@dataclass
class Training:
    """A model with its optimizer, and a batch on the device.

    Attributes:
        spec, sizes, recipe: of the model and of its training.
        layers: of the decoder, of how many.
        model, batch, tokens: what is trained, on what.
        optimizer: of the recipe.
    """

    spec: Model
    sizes: ModelSizes
    recipe: Recipe
    layers: str
    model: UnifiedModel
    batch: object
    tokens: Tokens
    optimizer: torch.optim.Optimizer

    @property
    def parameters(self) -> list[Tensor]:
        """Those that are trained."""
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]

    @property
    def flops(self) -> float:
        """Of a step: see the module."""
        return estimate.step_flops(self.sizes, self.recipe, self.tokens)

    def loss(self) -> Tensor:
        """The loss of the batch: each part a mean over its tokens, as in training."""
        losses = self.model.loss(self.batch, 1.0)
        return self.mean(losses.ce, losses.mse)

    def mean(self, ce: Tensor, mse: Tensor) -> Tensor:
        """The loss, from both parts summed over their tokens."""
        return ce / max(self.batch.ce_tokens, 1) + mse / max(self.batch.mse_tokens, 1)

    def update(self) -> None:
        """Clip the gradients and step the optimizer."""
        torch.nn.utils.clip_grad_norm_(self.parameters, self.recipe.optimizer.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


def prepare(setting: Setting, spec: Model, recipe: Recipe, tokens: int) -> Training:
    """A model with random weights made on the device, and a pack of random examples.

    On a GPU that is too small for all layers of a BAGEL it gets as many as the estimate says fit.

    Args:
        setting: where.
        spec, recipe: of the model and of its training.
        tokens: of the pack, at most.
    """
    outline = random_model(spec, torch.bfloat16, torch.device("meta"))
    examples = random_examples(outline, spec, tokens)
    batch = outline.batch(examples, range(len(examples)))
    counted = batch_tokens(batch, outline.chats.special.image if spec.family == "omnigen2" else 0)
    every = sizes_of(spec).decoder.layers
    layers = most_layers(setting, spec, recipe, counted) if spec.family == "bagel" else every
    spec = with_layers(spec, layers) if layers < every else spec
    if setting.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    model = random_model(spec, DTYPES[recipe.precision], setting.device)
    make_trainable(model, recipe, 0)
    model.network.train()
    optimizer = make_adamw([p for p in model.network.parameters() if p.requires_grad], recipe.optimizer)
    shown = f"{layers} of {every}"
    return Training(spec, sizes_of(spec), recipe, shown, model, batch.to(setting.device), counted, optimizer)


def most_layers(setting: Setting, spec: Model, recipe: Recipe, tokens: Tokens) -> int:
    """Layers of a BAGEL's decoder that fit the device with everything else; all on the CPU."""
    every = sizes_of(spec).decoder.layers
    if setting.device.type != "cuda":
        return every
    gigabytes = torch.cuda.get_device_properties(setting.device).total_memory / estimate.GB

    def too_large(layers: int) -> bool:
        return not estimated(spec, sizes_of(with_layers(spec, layers)), recipe, tokens).fits(gigabytes)

    return max(1, bisect_left(range(1, every + 1), True, key=too_large))


def with_layers(spec: Model, layers: int) -> Model:
    """A BAGEL whose decoder has so many layers."""
    about = spec.architecture or {}
    llm = {**about.get("llm", {}), "num_hidden_layers": layers}
    return spec.model_copy(update={"architecture": {**about, "llm": llm}})


def estimated(spec: Model, sizes: ModelSizes, recipe: Recipe, tokens: Tokens) -> estimate.Memory:
    """What ``sgt check`` estimates for one device."""
    return estimate.memory(sizes, recipe, tokens, rules_of(spec.family).largest_sides(spec).target ** 2)


def timed_steps(setting: Setting, loss: Callable[[], Tensor], update: Callable[[], None]) -> Iterator[list[float]]:
    """Seconds of forward pass, backward pass and update of one step after another; the first one warms up."""
    for _ in range(setting.steps + 1):
        times = [time.perf_counter()]
        value = loss()
        synchronize(setting.device)
        times.append(time.perf_counter())
        value.backward()
        synchronize(setting.device)
        times.append(time.perf_counter())
        update()
        synchronize(setting.device)
        times.append(time.perf_counter())
        if not torch.isfinite(value):
            raise FloatingPointError(f"the loss is {value.item()}")
        yield [after - before for before, after in pairwise(times)]


def figures(setting: Setting, training: Training, steps: list[list[float]]) -> dict[str, float | str]:
    """Speed and memory, from the seconds of the steps after the first."""
    forward, backward, update = (median(part) for part in zip(*steps, strict=True))
    seconds = median(map(sum, steps))
    found: dict[str, float | str] = {
        "tokens": training.tokens.all,
        "layers": training.layers,
        "seconds": seconds,
        "forward_s": forward,
        "backward_s": backward,
        "update_s": update,
        "tokens_per_s": training.tokens.all / seconds,
        "tflop_per_s": training.flops / seconds / 1e12,
    }
    if setting.device.type == "cuda":
        name = torch.cuda.get_device_name()
        peak = next((peak for part, peak in PEAK_FLOPS.items() if part in name), None)
        found["mfu"] = training.flops / seconds / peak if peak else "unknown: add the device's peak"
        found["peak_gb"] = torch.cuda.max_memory_allocated() / 1e9
    found["estimated_gb"] = estimated(training.spec, training.sizes, training.recipe, training.tokens).total / 1e9
    return found


def measure(setting: Setting, step: str, what: str, training: Training) -> Iterator[Row]:
    """A row after the first step, which compiles kernels, and one after every further step."""
    steps: list[list[float]] = []
    for seconds in timed_steps(setting, training.loss, training.update):
        if not steps:
            yield Row(step, f"{what}, first step", {"seconds": sum(seconds)})
        steps.append(seconds)
        if len(steps) > 1:
            yield Row(step, what, {**figures(setting, training, steps[1:]), "steps": len(steps) - 1})


def train_short(setting: Setting) -> Iterator[Row]:
    """BAGEL, all weights, the shorter pack."""
    training = prepare(setting, setting.bagel, setting.recipe(), setting.short_pack)
    yield from measure(setting, "train-short", "BAGEL, all weights, short pack", training)


def train_compiled(setting: Setting) -> Iterator[Row]:
    """The same with each layer's small operations fused."""
    training = prepare(setting, setting.bagel, setting.recipe(compile=True), setting.short_pack)
    yield from measure(setting, "train-compiled", "BAGEL, all weights, short pack, layers compiled", training)


def train_long(setting: Setting) -> Iterator[Row]:
    """BAGEL, all weights, the longer pack."""
    training = prepare(setting, setting.bagel, setting.recipe(), setting.long_pack)
    yield from measure(setting, "train-long", "BAGEL, all weights, long pack", training)


def train_lora(setting: Setting) -> Iterator[Row]:
    """BAGEL, adapters on both experts."""
    lora = LoRA(rank=4 if setting.tiny else 64, alpha=64, parts=["understanding", "generation"])
    training = prepare(setting, setting.bagel, setting.recipe(lora=lora), setting.short_pack)
    yield from measure(setting, "train-lora", f"BAGEL, adapters of rank {lora.rank}, short pack", training)


def train_omnigen2(setting: Setting) -> Iterator[Row]:
    """OmniGen2, all weights."""
    training = prepare(setting, setting.omnigen2, setting.recipe(), setting.short_pack)
    yield from measure(setting, "train-omnigen2", "OmniGen2, all weights, short pack", training)
