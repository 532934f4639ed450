"""Packs hold every example once, within the budget; how a step is cut changes its numbers by rounding alone."""

from pathlib import Path

import numpy as np
import pytest
import torch

from sgt.data.mixture import Mixed, Source
from sgt.errors import SgtError
from sgt.models.families import load_model
from sgt.study.load import load_study
from sgt.training.packing import fill, split
from sgt.training.sources import training_sources
from sgt.training.stream import Stream, Supply, example_seed
from sgt.training.world import World


def test_every_example_is_in_one_pack_and_no_pack_is_too_full():
    rng = np.random.default_rng(0)
    for _ in range(300):
        capacity = int(rng.integers(10, 200))
        lengths = rng.integers(1, capacity, size=rng.integers(1, 60), endpoint=True).tolist()
        packs = fill(lengths, capacity)
        assert sorted(index for pack in packs for index in pack) == list(range(len(lengths)))
        assert all(sum(lengths[index] for index in pack) <= capacity for pack in packs)
        assert len(packs) <= 11 / 9 * -(-sum(lengths) // capacity) + len(lengths) / 2
        for count in (len(packs), len(lengths)):
            more = split(packs, count)
            assert len(more) == count and all(more)
            assert sorted(index for pack in more for index in pack) == list(range(len(lengths)))


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
        SgtError, match=r"shard-0000\d.tar: [a-z0-9-]+: \d+ tokens, a pack holds 20; raise recipe.max_tokens"
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

    stream = Stream(model, Mixed([Source("vqa", 24, 2)], 0), {"vqa": Supply(spoiled, str)}, 0)
    seen = []
    with pytest.raises(SgtError, match="corrupt"):
        for step in stream.steps(0, 5):
            seen.append(step.tokens)
    assert len(seen) == 2


def test_more_processes_than_samples_is_one_line(ingredients):
    model, sources = ingredients
    with pytest.raises(SgtError, match="process 7 of 8 has 0 samples for 1 packs; use a multiple of the number"):
        Stream(model, sources.mixture, sources.supplies, 0, None, LastOfEight()).step(0)


class LastOfEight(World):
    """A world that is asked nothing but who it is."""

    rank, size = 7, 8

    def __init__(self) -> None:
        pass

    def for_thread(self) -> World:
        return self

    def largest(self, value: int) -> int:
        return value
