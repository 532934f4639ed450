"""Attention on keywords, and that of the released analysis code, against whole matrices computed here."""

import re

import pytest
import torch
import torch.nn.functional as F

from sgt.models.interface import Request
from sgt.models.keywords import Keyword, token_names
from sgt.models.omnigen2.language import embed, empty_cache
from sgt.models.omnigen2.rows import collate
from sgt.models.transforms import patches
from tests.models.conftest import load_micro
from tests.models.test_capture import picture, targets

ASKED = Request((picture(0), "is the red ball left of a blue cube ?"))
KINDS = {"red": "colour", "blue": "colour", "ball": "object", "cube": "object", "left": "position"}
SPANS = ("image", "frame", "text", "text.colour", "text.object", "text.position", "tail", "answer", "template")


def find(text: str) -> list[Keyword]:
    words = re.finditer(r"\w+", text)
    return [Keyword(*word.span(), KINDS[word.group()]) for word in words if word.group() in KINDS]


def test_a_token_has_the_kind_of_the_word_it_ends_in():
    text = "a red ball"
    assert token_names("text.0", text, [1, 5, 8, 10], find) == [
        "text.0", "text.0.colour", "text.0.object", "text.0.object",
    ]  # fmt: skip
    assert token_names("text.0", text, [1, 5], None) == ["text.0", "text.0"]
    assert token_names("text.0", "", [], find) == []


def sharpen(model, names: str):
    # Attention of these untrained models is nearly uniform: sharper queries make a difference visible.
    with torch.no_grad():
        for name, parameter in model.network.named_parameters():
            if re.search(names, name):
                parameter.add_(0.5 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(name))))
    return model


def heads(x: torch.Tensor, size: int) -> torch.Tensor:
    """(N, H·D) → (H, N, D)."""
    return x.unflatten(-1, (-1, size)).transpose(0, 1)


def turned(x: torch.Tensor, places: torch.Tensor, theta: float) -> torch.Tensor:
    """Rotary embedding as complex numbers: (H, N, D), the halves of D being real and imaginary parts."""
    half = x.shape[-1] // 2
    angles = places[:, None] * theta ** -(torch.arange(half) / half)
    found = torch.complex(x[..., :half], x[..., half:]) * torch.polar(torch.ones_like(angles), angles)
    return torch.cat([found.real, found.imag], -1)


def bagel_by_hand(model, ids: list[int], image: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Both attentions (H, L, L) of each layer for image, text and the token before an answer.

    The released code's has no row and no column for that last token.
    """
    network, special = model.network, model.special
    size, config = network.config.vit.patch_size, network.config.llm
    grid = image.shape[1] // size, image.shape[2] // size
    rows, columns = torch.meshgrid(torch.arange(grid[0]), torch.arange(grid[1]), indexing="ij")
    where = (rows * network.config.vit_max_num_patch_per_side + columns).flatten()
    seen = network.embed_patches(patches(image, size), where, [len(where)])
    text = network.embed_text(torch.tensor([special.bos, *ids, special.eos, special.bos]))
    frame = network.embed_text(torch.tensor([special.start_of_image, special.end_of_image]))
    x = torch.cat([frame[:1], seen, frame[1:], text])
    framed = len(seen) + 2
    places = torch.cat([torch.zeros(framed), 1.0 + torch.arange(len(text))])
    mask = torch.ones(len(x), len(x)).tril().bool()
    mask[:framed, :framed] = True
    found = []
    for layer in network.language_model.model.layers:
        attention, size = layer.self_attn, config.head_dim
        given = layer.input_layernorm(x)
        q = turned(attention.q_norm(heads(attention.q_proj(given), size)), places, config.rope_theta)
        k = turned(attention.k_norm(heads(attention.k_proj(given), size)), places, config.rope_theta)
        groups = len(q) // len(k)
        k, v = (each.repeat_interleave(groups, 0) for each in (k, heads(attention.v_proj(given), size)))
        weights = (q @ k.transpose(1, 2) / size**0.5).masked_fill(~mask, -torch.inf).softmax(-1)
        x = x + attention.o_proj((weights @ v).transpose(0, 1).flatten(1))
        x = x + layer.mlp(layer.post_attention_layernorm(x))
        queries = heads(x[:-1] @ attention.q_proj.weight.T, size)
        found.append((weights, (queries @ k[:, :-1].transpose(1, 2) / size**0.5).softmax(-1)))
    return found


@torch.no_grad()
def test_a_bagel_attends_as_two_layers_by_hand(study):
    model = sharpen(load_micro("bagel", study), r"[qk]_(proj|norm)\.(weight|bias)")
    image, text = ASKED.content
    ids, pixels = model.ids(text), model.vqa_transform(image)
    framed = pixels[0].numel() // model.network.config.vit.patch_size**2 + 2
    length = framed + len(ids) + 3
    spelled = {kind: [] for kind in KINDS.values()}
    for place, token in enumerate(ids):
        word = model.plain_tokenizer.decode([token]).strip()
        spelled.get(KINDS.get(word), []).append(framed + 1 + place)
    assert all(spelled.values()), "the tokenizer has a token for each of these words"
    places = {
        "image": range(1, framed - 1), "frame": [0, framed - 1], "text": range(framed + 1, length - 2),
        "tail": [length - 5, length - 4], "answer": [length - 1],
        **{f"text.{kind}": found for kind, found in spelled.items()},
    }  # fmt: skip
    (captured,) = model.capture([ASKED], None, SPANS, released=True, keywords=find, per_head=True)
    assert set(captured.attention) == set(captured.released) == {0, 1}
    for layer, (own, released) in enumerate(bagel_by_hand(model, ids, pixels)):
        torch.testing.assert_close(own.sum(-1), torch.ones(own.shape[:2]))
        for name in ("image", "frame", "text", "text.colour", "text.object", "text.position"):
            columns = list(places[name])
            for row in ("text", "answer", "text.colour"):
                want = own[:, list(places[row])][..., columns].sum(-1).mean(1)
                torch.testing.assert_close(
                    captured.attention[layer][:, SPANS.index(row), SPANS.index(name)], want, rtol=1e-4, atol=1e-5
                )
            want = released[:, places["tail"]][..., columns].sum(-1).mean(1)
            got = captured.released[layer][:, SPANS.index("tail"), SPANS.index(name)]
            torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)
        # The two are not the same number by another name.
        assert (own[:, places["tail"]] - F.pad(released, (0, 1))[:, places["tail"]]).abs().max() > 0.05


@torch.no_grad()
def test_latents_of_a_bagel_meet_the_cached_prompt_alone_in_the_released_form(study):
    """The cache is that of the prompt, the queries are the latents' output states."""
    model = sharpen(load_micro("bagel", study), r"[qk]_proj(_moe_gen)?\.(weight|bias)")
    prompt = Request(("a red ball left of a blue cube",))
    spans = ("target", "text.colour", "text.object", "text.position", "text", "template")
    (found,) = model.capture([prompt], [1], spans, target=targets(1), released=True, keywords=find)
    (text,) = prompt.content
    ids, special = model.ids(text), model.special
    layers, config = model.network.language_model.model.layers, model.network.config.llm
    # The prompt does not depend on what follows it, so its keys are those of reading it alone.
    x = model.network.embed_text(torch.tensor([special.bos, *ids, special.eos]))
    mask = torch.ones(len(x), len(x)).tril().bool()
    for layer in layers:
        attention, given = layer.self_attn, layer.input_layernorm(x)
        places = torch.arange(len(x)).float()
        q, k = (
            turned(norm(heads(project(given), config.head_dim)), places, config.rope_theta)
            for norm, project in ((attention.q_norm, attention.q_proj), (attention.k_norm, attention.k_proj))
        )
        k, v = (
            each.repeat_interleave(len(q) // len(k), 0) for each in (k, heads(attention.v_proj(given), config.head_dim))
        )
        weights = (q @ k.transpose(1, 2) / config.head_dim**0.5).masked_fill(~mask, -torch.inf).softmax(-1)
        x = x + attention.o_proj((weights @ v).transpose(0, 1).flatten(1))
        x = x + layer.mlp(layer.post_attention_layernorm(x))
    queries = heads(found.states[1]["target"] @ layers[1].self_attn.q_proj_moe_gen.weight.T, config.head_dim)
    weights = (queries @ k.transpose(1, 2) / config.head_dim**0.5).softmax(-1).mean((0, 1))
    words = [model.plain_tokenizer.decode([token]).strip() for token in ids]
    for kind in ("colour", "object", "position"):
        want = sum(weights[1 + place] for place, word in enumerate(words) if KINDS.get(word) == kind)
        torch.testing.assert_close(found.released[1][0, spans.index(f"text.{kind}")], want, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.released[1][0, -2:].sum(), torch.tensor(1.0))
    # The model's own latents attend to each other too.
    assert found.attention[1][0, -2:].sum() < 0.9


@torch.no_grad()
def test_an_omnigen2_attends_as_the_eager_attention_of_transformers(study_omnigen2):
    """The released form is computed from the cache and the layers' outputs."""
    model = sharpen(load_micro("omnigen2", study_omnigen2), r"language_model.*[qk]_proj\.(weight|bias)")
    (captured,) = model.capture([ASKED], None, SPANS, released=True, keywords=find, per_head=True)
    language = model.network.mllm.model.language_model
    chat = model.chats.prefix(Request(ASKED.content[:1]))
    chat.add(model.chats.question(ASKED.content[1:]))
    rows, cache, outputs = collate([chat]), empty_cache(), []
    handles = [layer.register_forward_hook(lambda *given: outputs.append(given[2][0])) for layer in language.layers]
    before = language.config._attn_implementation
    language.config._attn_implementation = "eager"
    hidden = torch.zeros(1, 1, len(chat.ids), len(chat.ids)).masked_fill(~rows.mask[:, None], -torch.inf)
    maps = language(
        inputs_embeds=embed(model.network.mllm, rows), position_ids=rows.positions,
        attention_mask={"full_attention": hidden}, cache=cache, use_cache=True, output_attentions=True,
    ).attentions  # fmt: skip
    language.config._attn_implementation = before
    for handle in handles:
        handle.remove()
    image = [place for place, token in enumerate(chat.ids) if token == model.chats.special.image]
    frame, length = [image[0] - 1, image[-1] + 1], len(chat.ids)
    for layer, (own, (keys, _, _)) in enumerate(zip(maps, cache, strict=True)):
        attention = language.layers[layer].self_attn
        queries = heads(outputs[layer] @ attention.q_proj.weight.T, attention.head_dim)
        keys = keys[0].repeat_interleave(len(queries) // keys.shape[1], 0)
        released = (queries @ keys.transpose(1, 2) / attention.head_dim**0.5).softmax(-1)
        for columns, name in ((image, "image"), (frame, "frame")):
            want = own[0, :, -1][..., columns].sum(-1)
            got = captured.attention[layer][:, SPANS.index("answer"), SPANS.index(name)]
            torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)
            want = released[:, [length - 4, length - 3]][..., columns].sum(-1).mean(1)
            got = captured.released[layer][:, SPANS.index("tail"), SPANS.index(name)]
            torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("generating", [False, True])
def test_keywords_are_parts_of_the_text(generating, model):
    spans = ("target", "text", "text.0", "text.colour", "text.0.colour", "text.object", "text.position")
    asked = [Request(("a red ball",)), Request((picture(1), "the red ball", "left of a blue cube"))]
    found = model.capture(
        asked, [0], spans, target=targets(2) if generating else None, released=generating, keywords=find
    )
    counts = [{span: len(states) for span, states in each.states[0].items()} for each in found]
    assert counts[0]["text.object"] and not counts[0]["text.position"] and counts[1]["text.position"]
    for each in counts:
        assert each["text"] >= sum(each[f"text.{kind}"] for kind in ("colour", "object", "position"))
    assert counts[1]["text.colour"] > counts[1]["text.0.colour"] > 0
    plain = model.capture(asked, [0], ("text",), target=targets(2) if generating else None, states=False)
    for with_kinds, without in zip(found, plain, strict=True):
        torch.testing.assert_close(with_kinds.attention[0][1, 1], without.attention[0][0, 0], equal_nan=True)
        assert without.states == {} and without.released == {}
