"""FlexAttention and dense attention are one attention, and the block mask is what the splits say."""

import random
import shutil

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from sgt.models import attention
from sgt.models.attention import Layout, attend, dense_attention, dense_layout, folded_attention, split_mask
from sgt.models.flex import BLOCK, FlexLayout, block_mask, flex_layout, padded_length
from tests.models.bagel.oracle import agree, cases, expected, network, pack, vae

CPU = torch.device("cpu")
BATCHES = {
    "pack": ("train.vae_sample_noise", "train.flow_noise", "train_shift1."),
    "sgt_a": ("sgt_a.vae_sample_noise", "sgt_a.flow_noise", "sgt_a."),
}


def random_pack(seed: int, samples: int, longest: int) -> tuple[list[int], list[int], list[str]]:
    """Lengths of samples, and lengths and modes of their splits."""
    draw = random.Random(seed)
    splits = [
        [
            (draw.randint(1, longest), draw.choice(["causal", "full", "noise", "aside"]))
            for _ in range(draw.randint(1, 5))
        ]
        for _ in range(samples)
    ]
    flat = [split for sample in splits for split in sample]
    return [sum(n for n, _ in sample) for sample in splits], [n for n, _ in flat], [mode for _, mode in flat]


def seen_by_hand(sample_lens: list[int], split_lens: list[int], modes: list[str]) -> torch.Tensor:
    """Who sees whom in the whole packed sequence, token by token, as the words of ``split_mask`` say."""
    sample = [i for i, n in enumerate(sample_lens) for _ in range(n)]
    split = [i for i, n in enumerate(split_lens) for _ in range(n)]
    rows = [
        [
            sample[q] == sample[k]
            and (k <= q or (split[q] == split[k] and modes[split[q]] in ("full", "noise")))
            and not (modes[split[k]] in ("noise", "aside") and split[q] != split[k])
            for k in range(len(sample))
        ]
        for q in range(len(sample))
    ]
    return torch.tensor(rows)


@pytest.mark.parametrize("seed", range(6))
def test_the_mask_is_what_the_splits_say_token_by_token(seed):
    packed = random_pack(seed, 3, 60)
    mask = block_mask(*packed, CPU)
    tokens, length = sum(packed[0]), mask.seq_lengths[0]
    index = torch.arange(length)
    seen = mask.mask_mod(0, 0, index[:, None], index)
    want = torch.eye(length, dtype=torch.bool)
    want[:tokens, :tokens] = seen_by_hand(*packed)
    assert torch.equal(seen, want)


@pytest.mark.parametrize("seed", range(6))
def test_blocks_are_those_that_a_mask_of_all_tokens_gives(seed):
    packed = random_pack(seed, 4, 300)
    ours = block_mask(*packed, CPU)
    theirs = create_block_mask(ours.mask_mod, None, None, *ours.seq_lengths, device="cpu", BLOCK_SIZE=BLOCK)
    assert torch.equal(ours.to_dense(), theirs.to_dense())
    for kind in ("kv", "full_kv", "q", "full_q"):
        counts = getattr(ours, f"{kind}_num_blocks")
        assert torch.equal(counts, getattr(theirs, f"{kind}_num_blocks")), kind
        mine, other = (getattr(mask, f"{kind}_indices")[0, 0] for mask in (ours, theirs))
        for row, count in enumerate(counts[0, 0].tolist()):
            assert mine[row, :count].tolist() == other[row, :count].tolist()


def test_lengths_are_padded_to_few_and_to_little_more():
    lengths = [padded_length(tokens) for tokens in range(1, 40_000)]
    assert all(length % BLOCK == 0 and tokens <= length for tokens, length in enumerate(lengths, 1))
    assert max(length / tokens for tokens, length in enumerate(lengths, 1) if tokens > 512) < 1.25
    assert len({length for length in lengths if length > 8192}) <= 10
    assert padded_length(16_384) == 16_384 and padded_length(36_864) == 40_960


@pytest.mark.parametrize("case", BATCHES)
@torch.no_grad()
def test_both_forms_give_the_official_numbers(case, monkeypatch):
    used = []
    monkeypatch.setattr("sgt.models.bagel.network.packed_layout", lambda *a: used.append(flex_layout(*a)) or used[-1])
    vae_noise, flow_noise, prefix = BATCHES[case]
    batch = pack(case, vae_noise, flow_noise)
    losses = network()(batch, vae().encode(batch.padded_images, batch.vae_sample_noise), 1.0)
    assert [type(layout) for layout in used] == [FlexLayout]
    agree(losses.ce, expected()[f"{prefix}ce_per_token"], "ce")
    agree(losses.mse, expected()[f"{prefix}mse_per_token"], "mse")
    assert losses.ce.mean().item() == pytest.approx(cases()[prefix[:-1]]["expected"]["ce"], rel=1e-5)


def test_both_forms_agree_on_random_packs_in_any_order_of_the_tokens():
    torch.manual_seed(0)
    packed = random_pack(1, 5, 80)
    order = torch.randperm(sum(packed[0]))
    q, k, v = (torch.randn(len(order), heads, 16) for heads in (6, 2, 2))
    dense, flex = (attend(q, k, v, form(order, *packed)) for form in (dense_layout, flex_layout))
    torch.testing.assert_close(flex, dense, rtol=1e-5, atol=1e-5)
    seen = seen_by_hand(*packed)[order][:, order]
    keys, values = (x.repeat_interleave(3, 1).transpose(0, 1) for x in (k, v))
    scores = (q.transpose(0, 1) @ keys.transpose(1, 2) / 4).masked_fill(~seen, float("-inf"))
    torch.testing.assert_close(dense, (scores.softmax(-1) @ values).transpose(0, 1).flatten(1), rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(shutil.which("c++") is None, reason="compiling for the CPU takes a C++ compiler")
def test_batches_of_like_length_share_one_compiled_kernel():
    torch.manual_seed(0)
    counted = CompileCounterWithBackend("inductor")
    kernel = torch.compile(flex_attention, backend=counted, dynamic=False)
    for seed in (0, 1):
        packed = random_pack(seed, 3, 40)
        layout = flex_layout(torch.randperm(sum(packed[0])), *packed)
        q, k, v = (torch.randn(1, heads, layout.mask.seq_lengths[0], 16) for heads in (4, 2, 2))
        out = kernel(q, k, v, block_mask=layout.mask, enable_gqa=True)
        index = torch.arange(q.shape[2])
        mask = layout.mask.mask_mod(0, 0, index[:, None], index)
        torch.testing.assert_close(out, dense_attention(q, k, v, mask[None, None]), rtol=1e-4, atol=1e-4)
    assert counted.frame_count == 1


def test_folding_the_heads_of_a_group_changes_nothing():
    torch.manual_seed(0)
    q, k, v = (torch.randn(3, heads, length, 16) for heads, length in ((6, 5), (2, 9), (2, 9)))
    mask = torch.rand(3, 1, 5, 9) > 0.4
    mask[..., 0] = True
    for shown in (mask, None):
        torch.testing.assert_close(folded_attention(q, k, v, shown), dense_attention(q, k, v, shown))


def test_the_device_decides_the_form():
    packed = ([3], [3], ["causal"])
    assert isinstance(attention.packed_layout(torch.arange(3), *packed), Layout)
    assert split_mask(*packed).tolist() == [[[True, False, False], [True, True, False], [True, True, True]]]
