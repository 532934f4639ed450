"""Which samples each step gets: exact counts, fixed orders, independent of earlier calls."""

from collections import Counter

import pytest

from sgt.data.mixture import Epoch, Mixed, Sequential, Source, Weighted

SOURCES = [Source("proxy", 50, 4), Source("vqa", 30, 2)]


def test_mixed_steps_interleave_exact_counts_and_visit_everything_once_an_epoch():
    mixture = Mixed(SOURCES, seed=3)
    draws = [draw for step in range(75) for draw in mixture.step(step)]
    assert [draw.source for draw in draws] == ["proxy", "proxy", "vqa"] * 150
    for name, size in (("proxy", 50), ("vqa", 30)):
        indices = [draw.index for draw in draws if draw.source == name]
        assert [draw.number for draw in draws if draw.source == name] == list(range(len(indices)))
        epochs = [indices[first : first + size] for first in range(0, len(indices), size)]
        assert all(sorted(epoch) == list(range(size)) for epoch in epochs)
        assert epochs[0] != epochs[1]


def test_an_epoch_has_every_sample_once_in_the_order_of_a_mixture():
    epoch, mixed = Epoch(Source("vqa", 30, 8), seed=3), Mixed([Source("vqa", 30, 1)], seed=3)
    steps = [epoch.step(step) for step in range(5)]
    assert [len(step) for step in steps] == [8, 8, 8, 6, 0]
    assert [draw for step in steps for draw in step] == [mixed.step(step)[0] for step in range(30)]


def test_sequential_steps_hold_the_draws_of_mixed_ones_one_kind_after_the_other():
    mixed, sequential = Mixed(SOURCES, seed=3), Sequential(SOURCES, seed=3, steps=9)
    one = [draw for step in range(9) for draw in mixed.step(step)]
    other = [sequential.step(step) for step in range(9)]
    assert Counter(one) == Counter(draw for step in other for draw in step)
    assert [{draw.source for draw in step} for step in other] == [{"proxy"}] * 6 + [{"vqa"}] * 3
    assert [draw for step in other for draw in step] == sorted(one, key=lambda draw: (draw.source, draw.number))
    with pytest.raises(IndexError):
        sequential.step(9)


def test_weighted_steps_have_one_of_each_and_the_rest_by_weight():
    weighted = Weighted([Source("proxy", 50, 1), Source("vqa", 30, 5)], seed=0, batch=12)
    steps = [weighted.step(step) for step in range(500)]
    assert all([draw.source for draw in step[:2]] == ["proxy", "vqa"] and len(step) == 12 for step in steps)
    rest = Counter(draw.source for step in steps for draw in step[2:])
    # 5000 draws with a chance of 1/6: 833 expected, 26 is one standard deviation.
    assert abs(rest["proxy"] - 5000 / 6) < 4 * 26
    numbers = [draw.number for step in steps for draw in step if draw.source == "proxy"]
    assert numbers == list(range(len(numbers)))
    assert Weighted([Source("proxy", 50, 1), Source("vqa", 30, 5)], seed=0, batch=12).step(321) == steps[321]


def test_leaving_out_a_source_does_not_change_the_draws_of_the_others():
    sources = [Source("proxy", 50, 1), Source("vqa", 30, 5)]
    weighted, alone = Weighted(sources, 0, 12), Weighted([Source("proxy", 1, 1), sources[1]], 0, 12, ["proxy"])
    for step in range(20):
        assert alone.step(step) == [draw for draw in weighted.step(step) if draw.source == "vqa"]


def test_seeds_differ_and_sources_do_not_depend_on_their_neighbours():
    one, other = Mixed(SOURCES, seed=1), Mixed(SOURCES, seed=2)
    assert one.step(0) != other.step(0)
    alone = Mixed(SOURCES[1:], seed=1)
    assert [draw for draw in one.step(7) if draw.source == "vqa"] == alone.step(7)


def test_the_orders_of_two_epochs_at_most_are_held_and_earlier_ones_come_back():
    mixture = Mixed([Source("proxy", 300, 1)], seed=3)
    first = [mixture.step(step) for step in range(5)]
    drawn = [mixture.step(300 * epoch) for epoch in range(6)]
    assert drawn[3] == mixture.step(900) and [mixture.step(step) for step in range(5)] == first
    assert [order.nbytes for order in mixture._orders["proxy"].values()] == [600, 600]
