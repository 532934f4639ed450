"""The speed scripts of the model run, and the variants that they compare do the same work."""

import re

import pytest

from perf import block_mask, generate, multiple_choice, sampling, train_step
from perf.random_bagel import pack, random_networks, random_samples, spec_of, tokens_of
from tests.conftest import MICRO


def test_the_training_step_and_its_reference_have_the_same_loss(capsys):
    train_step.main(["--tokens", "300", "--steps", "1", "--device", "cpu"])
    out = capsys.readouterr().out
    losses = [float(value) for value in re.search(r"first losses ([\d.]+) and ([\d.]+)", out).groups()]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert out.count(" tokens/s") == 2 and "GFLOP/s" in out and float(re.search(r"ratio ([\d.]+)", out)[1]) > 0


@pytest.mark.parametrize("words", [["--precision", "bf16", "--activation-checkpointing"], ["--lora", "2"]], ids=str)
def test_other_configurations_are_timed_without_reference(words, capsys):
    train_step.main(["--tokens", "200", "--steps", "1", "--device", "cpu", *words])
    out = capsys.readouterr().out
    assert out.count(" tokens/s") == 1 and "ratio" not in out


def test_generation_and_answers_are_timed(capsys):
    generate.main(["--sides", "16", "48", "--steps", "2", "--images", "2", "--questions", "3", "--device", "cpu"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == ["16x16", "48x48", "answers of 8 tokens"]
    assert all(re.search(r"[\d.e+-]+ (images|questions)/s, ratio [\d.]+$", line) for line in lines[1:])


@pytest.mark.parametrize("family", ["bagel", pytest.param("omnigen2", marks=pytest.mark.slow)])
def test_images_made_together_and_one_at_a_time_are_the_same(family, prepared_for, monkeypatch, capsys):
    monkeypatch.chdir(prepared_for(family))
    name = MICRO[family]["name"]
    sampling.main(["--model", name, "--images", "3", "--steps", "3", "--rounds", "1", "--device", "cpu"])
    (line,) = capsys.readouterr().out.splitlines()[1:]
    found = re.fullmatch(rf"{name}, 3 of \d+x\d+: \S+ images/s, ratio \S+; pixels differ by at most (\d+) of 255", line)
    assert found is not None and int(found[1]) <= 1


def test_multiple_choice_together_and_alone_is_answered_alike(prepared, monkeypatch, capsys):
    monkeypatch.chdir(prepared)
    multiple_choice.main(["--model", "micro", "--images", "2", "--device", "cpu"])
    rated, written = capsys.readouterr().out.splitlines()[2:]
    assert re.fullmatch(r"options rated: \S+ questions/s, ratio \S+; 12 of 12 the same", rated)
    assert re.fullmatch(r"replies written: \S+ questions/s, ratio \S+; 12 of 12 the same", written)


def test_a_random_pack_has_the_requested_length_and_exact_counts():
    spec = spec_of("bagel-tiny")
    import torch

    network, _ = random_networks(spec, torch.float32, torch.device("cpu"))
    batch = pack(network.config, random_samples(spec, network.config, 500))
    tokens = tokens_of(batch)
    assert tokens.all == sum(batch.sample_lens) >= 500
    # A proxy sample: 38 tokens of an image seen, 42 of an instruction, 38 of an image made; all see what is before.
    proxy = 38 * 38 + 42 * 38 + 42 * 43 // 2 + 38 * (38 + 42 + 38)
    question = 38 * 38 + sum(range(39, 39 + 4 * 34))
    assert tokens.pairs == 3 * proxy + question and len(batch.sample_lens) == 4


def test_both_ways_to_make_block_masks_are_timed(capsys):
    block_mask.main(["600"])
    assert re.search(r"^1326 tokens, 3 splits: [\d.]+ ms from splits, .* ratio \d+", capsys.readouterr().out)
