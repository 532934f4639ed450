"""Packs hold every example once, within the budget; how a step is cut changes its numbers by rounding alone."""

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
from sgt.training.packing import first_fit_decreasing, split
from sgt.training.sources import Sources, training_sources
from sgt.training.stream import NOTHING, Step, Stream, Supply, example_seed
from sgt.training.trainable import make_trainable
from sgt.training.world import World


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
    return load_model(loaded.models["micro"], Path("base/micro")), training_sources(loaded, run, recipe)


def losses(model, sources, capacity: int | None) -> tuple[list[float], int, float]:
    """Mean losses and gradient norm of step 1, the number of packs and how full they are."""
    step = Stream(model, sources.mixture, sources.supplies, 0, capacity).step(1)
    model.network.zero_grad()
    sums = [model.loss(batch, 1.0) for batch in step.batches]
    ce, mse = sum(s.ce for s in sums) / step.ce_tokens, sum(s.mse for s in sums) / step.mse_tokens
    (ce + mse).backward()
    norm = torch.stack([p.grad.norm() for p in model.network.parameters() if p.grad is not None]).norm()
    return [ce.item(), mse.item(), norm.item()], len(step.batches), step.filled


def test_the_loss_of_a_step_does_not_depend_on_how_it_is_cut(ingredients):
    model, sources = ingredients
    lengths = [model.tokens(sources.supplies[draw.source].make(draw)) for draw in sources.mixture.step(1)]
    whole, packs, filled = losses(model, sources, None)
    assert (packs, filled) == (1, 1.0)
    for capacity in (max(lengths), 2 * max(lengths)):
        cut, packs, filled = losses(model, sources, capacity)
        assert packs > 1
        assert filled == pytest.approx(sum(lengths) / (packs * capacity))
        assert cut == pytest.approx(whole, rel=1e-5)


def test_the_length_of_an_example_is_what_it_takes_in_a_batch(ingredients):
    model, sources = ingredients
    for draw in sources.mixture.step(0):
        example = sources.supplies[draw.source].make(draw)
        assert model.batch([example], [0]).tokens == model.tokens(example)


def test_a_sample_longer_than_a_pack_is_named(ingredients):
    model, sources = ingredients
    with pytest.raises(
        SgtError, match=r"shard-0000\d.tar: [a-z0-9-]+: \d+ tokens, a pack holds 20; raise recipe.max_tokens_per_pack"
    ):
        Stream(model, sources.mixture, sources.supplies, 0, 20).step(0)


def test_an_examples_draws_are_its_own(ingredients):
    model, sources = ingredients
    draws = [draw for draw in sources.mixture.step(0) if draw.source == "proxy"]
    examples = [sources.supplies["proxy"].make(draw) for draw in draws]
    seeds = [example_seed(0, draw) for draw in draws]
    together, alone = model.batch(examples, seeds), model.batch(examples[-1:], seeds[-1:])
    count = len(alone.flow_noise)
    assert torch.equal(together.flow_noise[-count:], alone.flow_noise)
    assert torch.equal(together.packed_timesteps[-count:], alone.packed_timesteps)
    assert torch.equal(together.vae_sample_noise[-1:], alone.vae_sample_noise)
    assert len(set(seeds)) == len(seeds)


def test_a_damaged_sample_stops_the_stream_when_its_step_is_due(ingredients):
    model, sources = ingredients

    def spoiled(draw):
        if draw.number == 4:
            raise SgtError("shard: key", "corrupt", "leave it out")
        return sources.supplies["vqa"].make(draw)

    stream = Stream(model, Mixed([Source("vqa", 24, 2)], 0), {"vqa": Supply(spoiled, str, 24)}, 0)
    seen = []
    with pytest.raises(SgtError, match="corrupt"):
        for step in stream.steps(0, 5):
            seen.append(step.tokens)
    assert len(seen) == 2


@pytest.mark.parametrize("arm", ["sft", "segmentation"])
def test_nothing_to_learn_from_gives_every_weight_a_gradient_of_zero(arm, study):
    """Processes over which weights are spread hang or fail if a weight has a gradient in some of them alone."""
    loaded = load_study(study)
    recipe, run = loaded.recipe("micro"), loaded.run("micro", arm, 0)
    model, sources = load_model(loaded.models["micro"], Path("base/micro")), training_sources(loaded, run, recipe)
    make_trainable(model, recipe, 0, makes_images=arm != "sft")

    def gradients(examples: list) -> dict[str, torch.Tensor]:
        model.network.zero_grad()
        losses = model.loss(model.batch(examples, [0] * len(examples)), 1.0)
        (losses.ce + losses.mse).backward()
        return {name: p.grad for name, p in model.network.named_parameters() if p.grad is not None}

    some = gradients([sources.supplies[draw.source].make(draw) for draw in sources.mixture.step(0)])
    none = gradients([NOTHING])
    assert none.keys() == some.keys()
    assert not any(gradient.any() for gradient in none.values())


@pytest.mark.parametrize("weights", [None, (1, 5), (5, 1)])
@pytest.mark.parametrize("arm", ["sft", "segmentation"])
@pytest.mark.parametrize("capacity", [None, 400])
def test_whatever_the_number_of_processes_they_learn_from_the_same_samples(arm, weights, capacity, study):
    """Also where a process has no sample of a step, and where one needs more packs than another has samples."""
    loaded = load_study(study)
    recipe = loaded.recipe("micro").model_copy(update={"batch": 6, "sampling_weights": weights})
    sources = training_sources(loaded, loaded.run("micro", arm, 0), recipe)
    model = load_model(loaded.models["micro"], Path("base/micro"))

    lacking = 0
    for step in range(4):
        (whole,) = in_processes(1, model, sources, capacity, step)
        for size in (2, 3, 8):
            taken = in_processes(size, model, sources, capacity, step)
            keys = [[key for batch in each.keys for key in batch] for each in taken]
            lacking += sum(not some for some in keys)
            assert sorted(key for some in keys for key in some) == sorted(key for batch in whole.keys for key in batch)
            assert len({len(each.batches) for each in taken}) == 1
            for name in ("ce_tokens", "mse_tokens", "tokens"):
                assert {getattr(each, name) for each in taken} == {getattr(whole, name)}
    assert lacking


def in_processes(size: int, model, sources: Sources, capacity: int | None, step: int) -> list[Step]:
    """What each of so many processes, here threads, takes of a step."""
    meeting = Meeting(size)
    worlds = [Together(rank, size, meeting) for rank in range(size)]
    streams = [Stream(model, sources.mixture, sources.supplies, 0, capacity, world) for world in worlds]
    with ThreadPoolExecutor(size) as threads:
        return list(threads.map(lambda stream: stream.step(step), streams))


class Meeting:
    """Where threads wait for one another and tell their values."""

    def __init__(self, size: int) -> None:
        self._barrier, self._values = Barrier(size, timeout=60), [None] * size

    def told(self, rank: int, value: object) -> list:
        """Every thread's value."""
        self._values[rank] = value
        self._barrier.wait()
        values = list(self._values)
        self._barrier.wait()
        return values


class Together(World):
    """One of several threads."""

    def __init__(self, rank: int, size: int, meeting: Meeting) -> None:
        super().__init__(rank, size)
        object.__setattr__(self, "_meeting", meeting)

    def for_thread(self) -> World:
        return self

    def largest(self, value: int) -> int:
        return max(self._meeting.told(self.rank, value))

    def totals(self, values: list[float]) -> list[float]:
        return [sum(each) for each in zip(*self._meeting.told(self.rank, values), strict=True)]
