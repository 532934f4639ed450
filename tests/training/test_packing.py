"""Packs hold every example once, within the limit; how a step is packed changes its losses only by rounding."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
import torch

from sgt.data.mixture import Mixed, Source
from sgt.errors import SgtError
from sgt.models.registry import load_model
from sgt.study.load import load_study
from sgt.training.batch_loader import EMPTY_EXAMPLE, BatchLoader, ExampleSource, StepBatch, example_seed
from sgt.training.distributed import DistributedContext
from sgt.training.packing import first_fit_decreasing, split
from sgt.training.sources import TrainingData, training_data
from sgt.training.trainable import make_trainable


def test_every_example_is_in_one_pack_and_no_pack_is_too_full():
    rng = np.random.default_rng(0)
    for _ in range(300):
        capacity = int(rng.integers(10, 200))
        lengths = rng.integers(1, capacity, size=rng.integers(1, 60), endpoint=True).tolist()
        packs = first_fit_decreasing(lengths, capacity)
        assert sorted(index for pack in packs for index in pack) == list(range(len(lengths)))
        assert all(sum(lengths[index] for index in pack) <= capacity for pack in packs)
        assert len(packs) <= 11 / 9 * -(-sum(lengths) // capacity) + len(lengths) / 2
        for count in (len(packs), len(lengths), len(lengths) + 3):
            more = split(packs, count)
            assert len(more) == count and sum(not pack for pack in more) == max(0, count - len(lengths))
            assert sorted(index for pack in more for index in pack) == list(range(len(lengths)))


def test_a_process_without_examples_has_empty_packs():
    assert split(first_fit_decreasing([], 10), 2) == split([[]], 2) == [[], []]


@pytest.fixture
def ingredients(study):
    loaded = load_study(study)
    run, recipe = loaded.run("micro", "segmentation", 0), loaded.recipe("micro")
    return load_model(loaded.models["micro"], Path("base/micro")), training_data(loaded, run, recipe)


def losses(model, data, capacity: int | None) -> tuple[list[float], int, float]:
    """Mean losses and gradient norm of step 1, the number of packs and how full they are."""
    step = BatchLoader(model, data.mixture, data.sources, 0, capacity).load(1)
    model.network.zero_grad()
    sums = [model.loss(batch, 1.0) for batch in step.micro_batches]
    ce, mse = sum(s.ce for s in sums) / step.ce_tokens, sum(s.mse for s in sums) / step.mse_tokens
    (ce + mse).backward()
    norm = torch.stack([p.grad.norm() for p in model.network.parameters() if p.grad is not None]).norm()
    return [ce.item(), mse.item(), norm.item()], len(step.micro_batches), step.filled


def test_the_loss_of_a_step_does_not_depend_on_how_it_is_packed(ingredients):
    model, data = ingredients
    lengths = [model.tokens(data.sources[draw.source].make(draw)) for draw in data.mixture.step(1)]
    unpacked, packs, filled = losses(model, data, None)
    assert (packs, filled) == (1, 1.0)
    for capacity in (max(lengths), 2 * max(lengths)):
        packed, packs, filled = losses(model, data, capacity)
        assert packs > 1
        assert filled == pytest.approx(sum(lengths) / (packs * capacity))
        assert packed == pytest.approx(unpacked, rel=1e-5)


def test_the_length_of_an_example_is_what_it_takes_in_a_batch(ingredients):
    model, data = ingredients
    for draw in data.mixture.step(0):
        example = data.sources[draw.source].make(draw)
        assert model.batch([example], [0]).tokens == model.tokens(example)


def test_a_sample_longer_than_a_pack_is_named(ingredients):
    model, data = ingredients
    with pytest.raises(
        SgtError, match=r"shard-0000\d.tar: [a-z0-9-]+: \d+ tokens, a pack holds 20; raise recipe.max_tokens_per_pack"
    ):
        BatchLoader(model, data.mixture, data.sources, 0, 20).load(0)


def test_an_examples_draws_are_its_own(ingredients):
    model, data = ingredients
    draws = [draw for draw in data.mixture.step(0) if draw.source == "proxy"]
    examples = [data.sources["proxy"].make(draw) for draw in draws]
    seeds = [example_seed(0, draw) for draw in draws]
    together, alone = model.batch(examples, seeds), model.batch(examples[-1:], seeds[-1:])
    count = len(alone.flow_noise)
    assert torch.equal(together.flow_noise[-count:], alone.flow_noise)
    assert torch.equal(together.packed_timesteps[-count:], alone.packed_timesteps)
    assert torch.equal(together.vae_sample_noise[-1:], alone.vae_sample_noise)
    assert len(set(seeds)) == len(seeds)


def test_a_damaged_sample_is_an_error_when_its_step_is_reached(ingredients):
    model, data = ingredients

    def spoiled(draw):
        if draw.number == 4:
            raise SgtError("shard: key", "corrupt", "leave it out")
        return data.sources["vqa"].make(draw)

    loader = BatchLoader(model, Mixed([Source("vqa", 24, 2)], 0), {"vqa": ExampleSource(spoiled, str, 24)}, 0)
    seen = []
    with pytest.raises(SgtError, match="corrupt"):
        for step in loader.iterate(0, 5):
            seen.append(step.tokens)
    assert len(seen) == 2


@pytest.mark.parametrize("arm", ["sft", "segmentation"])
def test_an_empty_example_gives_every_weight_a_gradient_of_zero(arm, study):
    """With sharded weights, processes hang or fail if a weight has a gradient in only some of them."""
    loaded = load_study(study)
    recipe, run = loaded.recipe("micro"), loaded.run("micro", arm, 0)
    model, data = load_model(loaded.models["micro"], Path("base/micro")), training_data(loaded, run, recipe)
    make_trainable(model, recipe, 0, makes_images=arm != "sft")

    def gradients(examples: list) -> dict[str, torch.Tensor]:
        model.network.zero_grad()
        losses = model.loss(model.batch(examples, [0] * len(examples)), 1.0)
        (losses.ce + losses.mse).backward()
        return {name: p.grad for name, p in model.network.named_parameters() if p.grad is not None}

    some = gradients([data.sources[draw.source].make(draw) for draw in data.mixture.step(0)])
    none = gradients([EMPTY_EXAMPLE])
    assert none.keys() == some.keys()
    assert not any(gradient.any() for gradient in none.values())


@pytest.mark.parametrize("weights", [None, (1, 5), (5, 1)])
@pytest.mark.parametrize("arm", ["sft", "segmentation"])
@pytest.mark.parametrize("capacity", [None, 500])
def test_any_number_of_processes_trains_on_the_same_samples(arm, weights, capacity, study):
    """Also if a process has no sample in a step, or needs more packs than another has samples."""
    loaded = load_study(study)
    recipe = loaded.recipe("micro").model_copy(update={"batch": 6, "sampling_weights": weights})
    data = training_data(loaded, loaded.run("micro", arm, 0), recipe)
    model = load_model(loaded.models["micro"], Path("base/micro"))

    lacking = 0
    for step in range(4):
        (whole,) = in_processes(1, model, data, capacity, step)
        for size in (2, 3, 8):
            batches = in_processes(size, model, data, capacity, step)
            keys = [[key for batch in each.keys for key in batch] for each in batches]
            lacking += sum(not some for some in keys)
            assert sorted(key for some in keys for key in some) == sorted(key for batch in whole.keys for key in batch)
            assert len({len(each.micro_batches) for each in batches}) == 1
            for name in ("ce_tokens", "mse_tokens", "tokens"):
                assert {getattr(each, name) for each in batches} == {getattr(whole, name)}
    assert lacking


def in_processes(size: int, model, data: TrainingData, capacity: int | None, step: int) -> list[StepBatch]:
    """The batch of a step in each process of ``size``, here threads."""
    group = ThreadGroup(size)
    contexts = [ThreadContext(rank, size, group) for rank in range(size)]
    loaders = [BatchLoader(model, data.mixture, data.sources, 0, capacity, context) for context in contexts]
    with ThreadPoolExecutor(size) as threads:
        return list(threads.map(lambda loader: loader.load(step), loaders))


class ThreadGroup:
    """A process group of threads."""

    def __init__(self, size: int) -> None:
        self._barrier, self._values = Barrier(size, timeout=60), [None] * size

    def all_gather(self, rank: int, value: object) -> list:
        """Every thread's value, by rank."""
        self._values[rank] = value
        self._barrier.wait()
        values = list(self._values)
        self._barrier.wait()
        return values


class ThreadContext(DistributedContext):
    """The context of one thread of a group."""

    def __init__(self, rank: int, size: int, group: ThreadGroup) -> None:
        super().__init__(rank, size)
        object.__setattr__(self, "_group", group)

    def for_thread(self) -> DistributedContext:
        return self

    def all_reduce_max(self, value: int) -> int:
        return max(self._group.all_gather(self.rank, value))

    def all_reduce_sum(self, values: list[float]) -> list[float]:
        return [sum(each) for each in zip(*self._group.all_gather(self.rank, values), strict=True)]
