"""Captured states and attention: equal to those of the pass that is not captured, and reduced as they should be."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from sgt.errors import SgtError
from sgt.models.attention import Layout, attend, dense_attention, dense_layout, make_layout, split_mask
from sgt.models.bagel.model import Bagel
from sgt.models.capture import NoisyTarget, Selection
from sgt.models.flex import flex_attend, flex_layout
from sgt.models.interface import Request
from sgt.models.recorder import Recorder, recording
from tests.models.conftest import OF_OFFICIAL_CODE, load_micro

LAYERS = (0, 1)
SPANS = ("system", "image", "text", "answer", "target", "template")


@pytest.fixture
def model(model):
    # Attention of these untrained models is nearly uniform: sharper queries make a difference visible.
    with torch.no_grad():
        for name, parameter in model.network.named_parameters():
            if "q_norm" in name or "norm_q" in name or ("q_proj.weight" in name and "mllm" in name):
                parameter.mul_(4)
    return model


def picture(seed: int, side: int = 48) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8))


def requests() -> list[Request]:
    return [
        Request((picture(0), "how many cubes are there")),
        Request((picture(1, 40), picture(2, 24), "which has a ball", "or a cone"), system="be short"),
        Request(("what is a cube",)),
        Request((picture(3), "where")),
    ]


def targets(count: int) -> NoisyTarget:
    return NoisyTarget([picture(10 + place, 48 - 8 * place) for place in range(count)], 0.6, list(range(count)))


def test_eager_attention_is_that_of_sdpa_and_flex():
    lengths, splits, modes = [7, 5], [3, 4, 5], ["causal", "full", "noise"]
    draw = torch.Generator().manual_seed(0)
    q = torch.randn(sum(lengths), 4, 16, generator=draw)
    k, v = (torch.randn(sum(lengths), 2, 16, generator=draw) for _ in range(2))
    order = torch.arange(sum(lengths))
    flex = flex_attend(q, k, v, flex_layout(order, lengths, splits, modes))
    layout = dense_layout(order, lengths, splits, modes)
    mixed = []
    for block in layout.blocks:
        recorder = Recorder(Selection([0], ("text",)), block.rows, q.device)
        recorder.begin([["text"] * block.width] * block.rows)
        given = block.pad(q), block.pad(k), block.pad(v)
        eager = recorder.attention(0, *given, block.mask)
        torch.testing.assert_close(eager, dense_attention(*given, block.mask), rtol=0, atol=1e-5)
        mixed.append(eager.transpose(1, 2).flatten(2).flatten(0, 1))
    eager = torch.cat(mixed).index_select(0, layout.slot)
    torch.testing.assert_close(eager, flex, rtol=0, atol=1e-5)


def test_attention_is_reduced_as_the_whole_matrix_would_be(monkeypatch):
    """Some queries at a time, rows of different lengths, tokens of an earlier call as keys."""
    monkeypatch.setattr("sgt.models.recorder.SCORES", 64)
    draw = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 4, 5, 8, generator=draw) for _ in range(3))
    first = [["image.0", "image.0", "image.1", "template", "text.0"], ["text.0", "image.0"]]
    second = [["text.0", "answer"], ["text.1", "template", "answer"]]
    mask = split_mask([5, 2], [5, 2], ["full", "full"])[:, None]
    spans = ("image", "image.1", "text", "answer")
    recorder = Recorder(Selection([0], spans, per_head=True), 2, q.device)
    recorder.begin(first)
    recorder.attention(0, q, k, v, mask)
    recorder.begin(second)
    more_q, more_k, more_v = (torch.randn(2, 4, 3, 8, generator=draw) for _ in range(3))
    filled = torch.tensor([[True] * 5 + [True, True, False], [True, True, False, False, False] + [True] * 3])
    later = filled[:, None, None].expand(-1, 1, 3, -1)
    keys, values = torch.cat([k, more_k], 2), torch.cat([v, more_v], 2)
    out = recorder.attention(0, more_q, keys, values, later)
    torch.testing.assert_close(out, dense_attention(more_q, keys, values, later), rtol=0, atol=1e-5)
    names = [[*a, *[""] * (5 - len(a)), *b, *[""] * (3 - len(b))] for a, b in zip(first, second, strict=True)]
    for row, found in enumerate(recorder.captured()):
        scores = (torch.cat([q, more_q], 2)[row] @ keys[row].transpose(1, 2)) * 8**-0.5
        whole = torch.zeros(1, 8, 8, dtype=torch.bool)
        whole[:, :5, :5], whole[:, 5:] = mask[row], later[row]
        weights = scores.masked_fill(~whole, -torch.inf).softmax(-1)
        places = [[i for i, name in enumerate(names[row]) if name == s or name.split(".")[0] == s] for s in spans]
        want = torch.stack(
            [torch.stack([weights[:, a][..., b].sum(-1).mean(1) for b in places], -1) for a in places], 1
        )
        torch.testing.assert_close(found.attention[0], want, equal_nan=True)


def test_maps_are_the_columns_of_the_whole_matrix(monkeypatch):
    """Some queries at a time, images in earlier calls and in this one, rows with different images."""
    monkeypatch.setattr("sgt.models.recorder.SCORES", 64)
    draw = torch.Generator().manual_seed(0)
    recorder = Recorder(Selection([0], ("answer", "image"), map_from="answer"), 2, torch.device("cpu"))
    calls = [
        [[*["image.0"] * 6, "template"], ["template", *["image.0"] * 2]],
        [["text.0", "answer"], [*["image.1"] * 4, "answer", "answer"]],
    ]
    recorder.grids[0].append((2, 3))
    recorder.grids[1] += [(1, 2), (4, 1)]
    weights = []
    key = torch.zeros(2, 2, 0, 8)
    for names, length in zip(calls, (7, 6), strict=True):
        recorder.begin(names)
        query = torch.randn(2, 4, length, 8, generator=draw)
        key = torch.cat([key, torch.randn(2, 2, length, 8, generator=draw)], 2)
        recorder.attention(0, query, key, key, None)
        weights.append((query @ key.repeat_interleave(2, 1).transpose(2, 3) * 8**-0.5).softmax(-1).mean(1))
    first, second = recorder.captured()
    torch.testing.assert_close(first.maps[0], [weights[1][0, 1, :6].view(2, 3)])
    # The two tokens before an answer are averaged; the first call of the second row has a place without a token.
    mean = weights[1][1, 4:6].mean(0)
    torch.testing.assert_close(second.maps[0], [mean[1:3].view(1, 2), mean[7:11].view(4, 1)])
    for found in (first, second):
        torch.testing.assert_close(sum(each.sum() for each in found.maps[0]), found.attention[0][0, 1])


@pytest.mark.parametrize("autocast", [False, True])
def test_shares_are_not_rounded_to_the_precision_of_the_model(autocast):
    """Of bf16 queries and keys with large scores, as of the same numbers in fp64; under autocast, too."""
    draw = torch.Generator().manual_seed(0)
    query = (4 * torch.randn(1, 4, 40, 128, generator=draw)).bfloat16()
    key = torch.randn(1, 2, 40, 128, generator=draw).bfloat16()
    if autocast:
        query, key = query.float(), key.float()
    recorder = Recorder(Selection([0], ("image", "text"), map_from="text"), 1, query.device)
    recorder.grids[0].append((5, 5))
    recorder.begin([["image.0"] * 25 + ["text.0"] * 15])
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        recorder.attention(0, query, key, key, None)
    (found,) = recorder.captured()
    scores = query.double() @ key.double().repeat_interleave(2, 1).transpose(2, 3) * 128**-0.5
    want = scores.softmax(-1).mean(1)[0, 25:, :25].mean(0)
    torch.testing.assert_close(found.attention[0][1, 0].double(), want.sum(), rtol=1e-5, atol=0)
    torch.testing.assert_close(found.maps[0][0].flatten().double(), want, rtol=1e-4, atol=1e-7)


class Swap(nn.Module):
    """A layer whose queries, keys and values are its tokens, of a width of 2, and whose output adds what is attended.

    Its attention is that of one head; before it, the two numbers of each token change places.
    """

    def __init__(self) -> None:
        super().__init__()
        self.self_attn = nn.Module()
        self.self_attn.attend = attend

    def forward(self, tokens: torch.Tensor, layout: Layout) -> torch.Tensor:
        given = tokens.flip(1)[:, None]
        return tokens + self.self_attn.attend(given, given, given, layout)


def test_two_layers_made_by_hand():
    """Two tokens of an image that see each other, then two words that see what is before them."""
    tokens = np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0], [3.0, -1.0]])
    sees = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]], bool)
    want = []
    for _ in range(2):
        swapped = tokens[:, ::-1]
        weights = np.zeros((4, 4))
        for query in range(4):
            scores = [np.exp(swapped[query] @ swapped[key] / np.sqrt(2)) * sees[query, key] for key in range(4)]
            weights[query] = np.array(scores) / sum(scores)
        tokens = tokens + weights @ swapped
        want.append((weights, tokens))
    layers = {index: Swap() for index in range(2)}
    spans = ("image", "text.0", "text")
    recorder = Recorder(Selection([0, 1], spans), 1, torch.device("cpu"))
    recorder.begin([["image.0", "image.0", "text.0", "text.1"]])
    layout = make_layout(torch.zeros(4, dtype=torch.int64), torch.arange(4), [4], torch.tensor(sees)[None, None])
    given = torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0], [3.0, -1.0]])
    with recording(recorder, layers, "self_attn"):
        layers[1](layers[0](given, layout), layout)
    (found,) = recorder.captured()
    for index, (weights, after) in enumerate(want):
        image, words = weights[:, :2].sum(1), weights[:, 2:].sum(1)
        expected = [
            [image[:2].mean(), weights[:2, 2].mean(), words[:2].mean()],
            [image[2], weights[2, 2], words[2]],
            [image[2:].mean(), weights[2:, 2].mean(), words[2:].mean()],
        ]
        np.testing.assert_allclose(found.attention[index], expected, rtol=1e-5)
        np.testing.assert_allclose(found.states[index]["text"], after[2:], rtol=1e-5)
        np.testing.assert_allclose(found.attention[index][:, [0, 2]].sum(1), 1, rtol=1e-5)
    # Words look at the image differently in the two layers, so that a mix-up would be seen.
    assert abs(want[0][0][2:, :2].sum() - want[1][0][2:, :2].sum()) > 0.1


@pytest.mark.parametrize("generating", [False, True])
def test_capturing_changes_nothing_and_needs_no_neighbours(generating, model):
    """The last layer's state is what the uncaptured pass ends in; shares of attention add up to one."""
    asked = [r for r in requests() if not (generating and r.system)]
    target = targets(len(asked)) if generating else None
    together = model.capture(asked, LAYERS, SPANS, target=target)
    partly = model.capture(asked, LAYERS[1:], SPANS, target=target)
    for place, request in enumerate(asked):
        one = target and NoisyTarget(target.images[place : place + 1], target.time, target.seeds[place : place + 1])
        (alone,) = model.capture([request], LAYERS, SPANS, target=one)
        for layer in LAYERS:
            shares = together[place].attention[layer]
            torch.testing.assert_close(shares, alone.attention[layer], rtol=0, atol=1e-5, equal_nan=True)
            present = ~shares.isnan().any(1)
            assert present.tolist() == [len(together[place].states[layer][span]) > 0 for span in SPANS]
            torch.testing.assert_close(shares[present].sum(1), torch.ones(int(present.sum())))
            for span in SPANS:
                states = together[place].states[layer][span]
                torch.testing.assert_close(states, alone.states[layer][span], rtol=1e-4, atol=1e-4)
        # Layer 0 ran on SDPA here.
        for span in SPANS:
            torch.testing.assert_close(
                partly[place].states[1][span], together[place].states[1][span], rtol=1e-4, atol=1e-5
            )
        assert set(partly[place].attention) == {1}


@pytest.mark.parametrize("generating", [False, True])
def test_maps_add_up_to_the_shares_of_their_images(generating, model):
    asked = [r for r in requests() if not (generating and r.system)]
    span, spans = ("target" if generating else "answer"), ("image.0", "image.1", "answer", "target")
    target = targets(len(asked)) if generating else None
    for request, found in zip(asked, model.capture(asked, LAYERS, spans, target=target, map_from=span), strict=True):
        for layer in LAYERS:
            maps = found.maps[layer]
            assert len(maps) == len(request.images)
            for image, each in enumerate(maps):
                share = found.attention[layer][spans.index(span), image]
                torch.testing.assert_close(each.sum(), share, rtol=0, atol=1e-5)
                assert share > 0 and (each > 0).all()


@OF_OFFICIAL_CODE
def test_a_map_lies_on_the_picture_as_its_tokens_do(model):
    """What changes in a quarter of a wide picture moves the attention on the tokens of that quarter most."""

    def map_of(pixels: np.ndarray) -> torch.Tensor:
        request = Request((Image.fromarray(pixels), "where"))
        (found,) = model.capture([request], [0], ["answer"], map_from="answer")
        return found.maps[0][0].log()

    def quarters(found: torch.Tensor) -> list[float]:
        """Upper left, upper right, lower left, lower right; without what lies on a border."""
        rows, columns = found.shape[0] // 2, found.shape[1] // 2
        halves = found[:rows], found[-rows:]
        return [part.mean().item() for half in halves for part in (half[:, :columns], half[:, -columns:])]

    grey = np.full((64, 128, 3), 128, np.uint8)
    before = map_of(grey)
    assert before.shape[1] > before.shape[0] > 2
    for quarter, (y, x) in enumerate(((0, 0), (0, 64), (32, 0), (32, 64))):
        changed = grey.copy()
        changed[y : y + 32, x : x + 64] = np.random.default_rng(0).integers(0, 255, (32, 64, 3))
        # Of a share that grows, all the others lose the same part.
        ratio = map_of(changed) - before
        assert np.argmax(quarters((ratio - ratio.median()).abs())) == quarter


@OF_OFFICIAL_CODE
@torch.no_grad()
def test_the_state_before_an_answer_gives_its_first_token(model):
    asked = requests()
    network = model.network
    for request, captured in zip(asked, model.capture(asked, [1], ["answer"]), strict=True):
        state = captured.states[1]["answer"]
        assert state.shape[0] == 1
        if isinstance(model, Bagel):
            logits = network.logits(network.language_model.model.norm(state))
            want = model._read([request]).read([[model.special.bos]])
        else:
            logits = network.mllm.lm_head(network.mllm.model.language_model.norm(state))
            context, first = model._read([request])
            want = context.read([[first]])
        torch.testing.assert_close(logits, want, rtol=1e-4, atol=1e-4)


@OF_OFFICIAL_CODE
def test_spans_are_the_tokens_of_their_part(model):
    asked = Request((picture(1, 40), picture(2, 24), "which has a ball", "or a cone"), system="be short")
    spans = ["system", "image", "image.0", "image.1", "text", "text.0", "text.1", "answer", "template"]
    (found,) = model.capture([asked], [0], spans)
    counts = {span: len(states) for span, states in found.states[0].items()}
    ids = model.ids if isinstance(model, Bagel) else model.chats.ids
    assert counts["system"] == len(ids("be short"))
    assert counts["image"] == counts["image.0"] + counts["image.1"]
    assert counts["text"] == counts["text.0"] + counts["text.1"] == len(ids("which has a ball")) + len(ids("or a cone"))
    transform = model.vqa_transform if isinstance(model, Bagel) else model.vit_transform
    sizes = (transform.size(side, side) for side in (40, 24))
    assert [counts["image.0"], counts["image.1"]] == [w * h // 64 for w, h in sizes]
    torch.testing.assert_close(found.states[0]["image"][counts["image.0"] :], found.states[0]["image.1"])
    whole = counts["system"] + counts["image"] + counts["text"] + counts["answer"] + counts["template"]
    if isinstance(model, Bagel):
        assert whole == model._read([asked]).valid.sum() + 1
    else:
        chat = model.chats.prefix(Request(asked.content[:2], asked.system))
        assert whole == len(chat.ids) + len(model.chats.question(asked.content[2:]))


@torch.no_grad()
def test_the_chat_that_is_captured_is_the_chat_that_conditions_an_image(study_omnigen2):
    model = load_micro("omnigen2", study_omnigen2)
    asked = [Request((picture(0), "a ball", "left of a cube")), Request(("a cone",)), Request((picture(1),))]
    seen = []
    handle = model.network.transformer.time_caption_embed.caption_embedder.register_forward_pre_hook(
        lambda module, given: seen.append(given[0])
    )
    model.capture(asked, [0], ["text"], target=targets(3))
    handle.remove()
    prompts = [request.text if len(request.content) != 1 or request.text else None for request in asked]
    want = model._features(prompts, [request.images for request in asked])
    torch.testing.assert_close(seen[0], torch.cat(want))


def test_what_cannot_be_captured_is_one_line(model):
    one = [Request(("what",))]
    with pytest.raises(SgtError, match="layers: there is no layer 2; use 0 to 1"):
        model.capture(one, [2], ["text"])
    with pytest.raises(SgtError, match="spans: there is no span 'question'"):
        model.capture(one, [0], ["question"])
    with pytest.raises(SgtError, match="map_from: 'answer' is not one of the spans; use one of text, image"):
        model.capture(one, [0], ["text", "image"], map_from="answer")
    with pytest.raises(SgtError, match="1 requests, 2 targets and 2 seeds; give as many of each"):
        model.capture(one, [0], ["text"], target=targets(2))
    assert model.capture([], [0], ["text"]) == []


@OF_OFFICIAL_CODE
def test_after_capturing_nothing_is_recorded(model):
    before = model.capture(requests(), [0], ["answer"])
    layer = (model.network.language_model.model if isinstance(model, Bagel) else model.network.transformer).layers[0]
    assert not layer._forward_hooks and "attend" not in vars(getattr(layer, "self_attn", None) or layer.attn)
    again = model.capture(requests(), [0], ["answer"], per_head=True)
    for one, other in zip(before, again, strict=True):
        torch.testing.assert_close(one.attention[0], other.attention[0].mean(0))
