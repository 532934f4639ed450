"""Our OmniGen2 gives the official numbers: the transformer, losses, gradients, text features, answers, sampling."""

import pytest
import torch
from PIL import Image

from sgt.models import flow
from sgt.models.attention import grid
from sgt.models.interface import Sampling
from sgt.models.omnigen2 import language
from sgt.models.omnigen2.images import ReferenceTransform
from sgt.models.omnigen2.layers import rotary
from sgt.models.omnigen2.rows import IGNORED, Chat, ImagePatches, collate
from sgt.models.omnigen2.sampling import Branch, sample_latents
from sgt.models.transforms import to_tensor
from tests.models.omnigen2.oracle import SPECIAL, agree, cases, config, expected, inputs, network, parts, vae

LENGTHS = [9, 6, 4]
REFERENCES = [[], ["fwd.ref.1.0"], ["fwd.ref.2.0", "fwd.ref.2.1"]]


def features() -> torch.Tensor:
    return inputs()["fwd.text"][inputs()["fwd.text_mask"].bool()]


def latents(prefix: str = "fwd.latent") -> list[torch.Tensor]:
    return [inputs()[f"{prefix}.{sample}"] for sample in range(3)]


def references() -> list[list[torch.Tensor]]:
    return [[inputs()[name] for name in names] for names in REFERENCES]


def packed_rows(want: torch.Tensor, lengths: list[int]) -> torch.Tensor:
    """The rows that hold something of a padded official tensor, one sample after another."""
    return torch.cat([want[row, :length] for row, length in enumerate(lengths)])


@torch.no_grad()
def test_transformer_forward_with_every_hidden_state():
    model, seen = network().transformer, {}
    handles = [
        module.register_forward_hook(lambda m, given, out, name=name: seen.__setitem__(name, out))
        for name, module in model.named_modules()
    ]
    velocities = model(model.read_text(features(), LENGTHS), LENGTHS, latents(), inputs()["fwd.t"], references())
    for handle in handles:
        handle.remove()
    for sample, velocity in enumerate(velocities):
        agree(velocity, expected()[f"fwd.out.{sample}"], f"velocity {sample}")

    images = [latent[0].numel() // 4 for latent in latents()]
    shown = [image[0].numel() // 4 for given in references() for image in given]
    joint = cases()["fwd"]["seq_lengths"]
    assert cases()["fwd"]["encoder_seq_lengths"] == LENGTHS
    agree(seen["time_caption_embed.timestep_embedder"], expected()["fwd.hidden.time_caption_embed.0"], "time")
    agree(
        seen["time_caption_embed.caption_embedder"],
        packed_rows(expected()["fwd.hidden.time_caption_embed.1"], LENGTHS),
        "embedded text",
    )
    # Ours come text first, then references, then images; the official ones sample by sample.
    counts = [LENGTHS, [sum(image[0].numel() // 4 for image in given) for given in references()], images]
    sample = torch.cat([torch.arange(3).repeat_interleave(torch.tensor(count)) for count in counts])
    order = torch.argsort(sample, stable=True)
    checked = 0
    for name, want in expected().items():
        if not name.startswith("fwd.hidden.") or "time_caption" in name:
            continue
        module = name.removeprefix("fwd.hidden.").removesuffix(".0")
        kind = module.partition(".")[0]
        lengths = {"context_refiner": LENGTHS, "noise_refiner": images, "ref_image_refiner": [0, *shown]}
        got = seen[module][order] if kind in ("layers", "norm_out") else seen[module]
        agree(got, packed_rows(want, lengths.get(kind, joint)), name)
        checked += 1
    assert checked == 10


def test_rotary_tables_and_joint_positions():
    for axis, width in enumerate(config().transformer.axes_dim_rope):
        want = torch.view_as_complex(expected()[f"rope.freqs_cis_real_imag.{axis}"])
        positions = torch.zeros(len(want), 3, dtype=torch.int64)
        positions[:, axis] = torch.arange(len(want))
        got = rotary(positions, config().transformer.axes_dim_rope)
        torch.testing.assert_close(got[:, axis * width // 2 : (axis + 1) * width // 2], want, atol=1e-12, rtol=0)
    model = network().transformer
    kinds = model._places(LENGTHS, references(), latents())
    sample = torch.cat([kind.sample for kind in kinds])
    place = torch.cat([kind.place for kind in kinds])
    got = rotary(torch.cat([kind.positions for kind in kinds]), config().transformer.axes_dim_rope)
    want = torch.view_as_complex(expected()["fwd.rope_full_real"].contiguous())
    torch.testing.assert_close(got, want[sample, place], atol=1e-12, rtol=0)
    assert sorted(zip(sample.tolist(), place.tolist(), strict=True)) == [
        (row, column) for row, column in zip(*(part.tolist() for part in grid([33, 62, 71])), strict=True)
    ]


@pytest.mark.parametrize(
    ("case", "shift"), [("dynamic_v1", "dynamic_v1"), ("static_v1", "static_v1"), ("noshift", 1.0)]
)
def test_flow_loss_and_gradients(case, shift):
    model = parts()[0]
    errors = model.flow_errors(
        features(),
        LENGTHS,
        latents(),
        latents(f"train.{case}.x0"),
        torch.sigmoid(inputs()[f"train.{case}.u_normal"]),
        shift,
        references(),
    )
    want = cases()["train"][case]["expected"]
    agree(errors.t, expected()[f"train.{case}.t"], "t")
    agree(errors.t, torch.tensor(want["t"]), "t")
    for sample in range(3):
        agree(errors.noisy[sample], expected()[f"train.{case}.xt.{sample}"], "x_t")
        agree(errors.velocities[sample], expected()[f"train.{case}.ut.{sample}"], "u_t")
        agree(errors.predicted[sample], expected()[f"train.{case}.pred.{sample}"], "prediction")
    sums = torch.stack([error.sum() for error in errors.squared])
    torch.testing.assert_close(sums, expected()[f"train.{case}.loss_per_sample_sum"], rtol=1e-4, atol=1e-4)
    elements = sum(error.numel() for error in errors.squared)
    loss = sums.sum() / elements
    assert elements == want["num_latent_elements"]
    assert loss.item() == pytest.approx(want["loss"], rel=1e-5)

    loss.backward()
    gradients = {name: p.grad for name, p in model.transformer.named_parameters() if p.grad is not None}
    for name, norm in want.get("grad_norms", {}).items():
        assert gradients[name].norm().item() == pytest.approx(norm, rel=1e-4), name
        agree(gradients[name], expected()[f"grad.{name}"], name)
    if "grad_norm_total" in want:
        total = torch.stack([gradient.norm() for gradient in gradients.values()]).norm().item()
        assert total == pytest.approx(want["grad_norm_total"], rel=1e-4)


def chats(case: str, images: list[ImagePatches] = ()) -> list[Chat]:
    """The rows of a batch of the language model; a run of image tokens is one image."""
    images, built = iter(images), []
    batch, mask = inputs()[f"{case}.input_ids"], inputs()[f"{case}.attention_mask"]
    labels = inputs().get(f"{case}.labels", torch.full_like(batch, IGNORED))
    for row, length in enumerate(mask.sum(1).tolist()):
        ids, place, chat = batch[row, :length].tolist(), 0, Chat(SPECIAL, 1024)
        while place < length:
            learned = labels[row, place].item() != IGNORED
            if ids[place] == SPECIAL.image:
                image = next(images)
                chat.add([SPECIAL.image], [image])
                place += image.tokens[0] * image.tokens[1]
                continue
            chat.add([ids[place]], supervised=learned)
            place += 1
        # One split, as a whole text has.
        chat.splits = [(length, "causal")]
        built.append(chat)
    return built


@torch.no_grad()
def test_text_features():
    rows = collate(chats("mllm"))
    want = inputs()["mllm.attention_mask"].bool()
    assert torch.equal(rows.filled, want)
    hidden = language.hidden_states(network().mllm, rows)
    agree(hidden[want], expected()["mllm.hidden_states_last"][want], "hidden")
    agree(network().mllm.lm_head(hidden)[want], expected()["mllm.logits"][want], "logits")


def test_understanding_with_an_image():
    model = parts()[0].mllm
    grids = inputs()["mllm_image.image_grid_thw"].tolist()
    pixels = inputs()["mllm_image.pixel_values"].split([h * w for _, h, w in grids])
    sizes = [(rows // 2, columns // 2) for _, rows, columns in grids]
    images = [ImagePatches(*about) for about in zip(pixels, map(tuple, grids), sizes, strict=True)]
    rows = collate(chats("mllm_image", images))
    filled = inputs()["mllm_image.attention_mask"].bool()
    assert torch.equal(rows.ids, inputs()["mllm_image.input_ids"])
    assert torch.equal(rows.labels[filled], inputs()["mllm_image.labels"][filled])
    assert torch.equal(rows.positions[:, filled], expected()["mllm_image.position_ids"][:, filled])
    seen = model.model.visual(rows.pixels, grid_thw=rows.grids).pooler_output
    agree(seen, expected()["mllm_image.vision_features"], "vision features")
    hidden = language.hidden_states(model, rows)
    agree(hidden[filled], expected()["mllm_image.hidden_states_last"][filled], "hidden")
    agree(model.lm_head(hidden)[filled], expected()["mllm_image.logits"][filled], "logits")
    loss = language.text_errors(model, hidden, rows.labels).mean()
    want = cases()["mllm_image"]["expected"]
    assert loss.item() == pytest.approx(want["loss"], rel=1e-5)
    loss.backward()
    norms = {language.official_name(name): p.grad.norm().item() for name, p in model.named_parameters()}
    assert norms.keys() == want["grad_norms"].keys()
    for name, norm in want["grad_norms"].items():
        assert norms[name] == pytest.approx(norm, rel=1e-4), name


@pytest.mark.parametrize(("cells", "want"), cases()["euler_timesteps_8_steps"].items())
def test_time_grids(cells, want):
    shift = flow.shift_factor("dynamic_v2", int(cells) // 4)
    agree(1 - flow.sampling_times(8, shift)[:-1], torch.tensor(want), cells)


def embedded(ids: torch.Tensor) -> torch.Tensor:
    chat = Chat(SPECIAL, 1024)
    chat.add(ids[0].tolist())
    return network().features(collate([chat]))[0]


@pytest.mark.parametrize("name", cases()["pipe"])
@torch.no_grad()
def test_sampling_step_by_step(name):
    case = cases()["pipe"][name]
    transform = ReferenceTransform(case["max_pixels"], case["max_input_image_side_length"], 16)
    given = []
    for place, image in enumerate(case["reference_images"]):
        pixels = transform(Image.fromarray(inputs()[f"pipe.input_image.{image}"].numpy()))
        agree(pixels[None], expected()[f"pipe.preprocessed.{image}"], "preprocessed")
        given += list(vae().encode(pixels[None], inputs()[f"pipe.vae_encode_noise.{image}"]))
        agree(given[place], expected()[f"pipe.{name}.ref_latent.{place}"], "reference")
    prompt = embedded(inputs()["pipe.prompt_ids"])
    agree(prompt[None], expected()[f"pipe.{name}.prompt_embeds"], "prompt")
    branches = [Branch([prompt], [given])]
    if case["text_guidance_scale"] > 1:
        negative = embedded(inputs()["pipe.negative_ids"])
        agree(negative[None], expected()[f"pipe.{name}.neg_embeds"], "negative prompt")
        if case["image_guidance_scale"] > 1:
            branches.append(Branch([negative], [given]))
        branches.append(Branch([negative], [[]]))
    settings = Sampling(
        num_steps=case["num_inference_steps"],
        shift="dynamic_v2",
        cfg_text_scale=case["text_guidance_scale"],
        cfg_image_scale=case["image_guidance_scale"],
        cfg_interval=tuple(1 - end for end in reversed(case["cfg_range"])),
    )
    calls, steps = [], []

    def watch(step, x, raw, v):
        prefix = f"pipe.{name}.step{step}"
        agree(x, expected()[f"{prefix}.latents_in"], "latents in")
        for velocity in raw:
            agree(velocity, expected()[f"pipe.{name}.raw_pred.{len(calls)}"], f"call {len(calls)}")
            calls.append(step)
        agree(v, expected()[f"{prefix}.model_pred_guided"], "guided")
        if step:
            agree(x, expected()[f"pipe.{name}.step{step - 1}.latents_out"], "latents out")
        steps.append(step)

    noise = inputs()[f"pipe.{name}.init_latent"]
    assert list(noise.shape) == case["expected"]["latents_shape"]
    x = sample_latents(network().transformer, branches, noise, settings, watch)
    assert steps == list(range(case["num_inference_steps"]))
    assert len(calls) == sum(key.startswith(f"pipe.{name}.raw_pred.") for key in expected())
    agree(x, expected()[f"pipe.{name}.step{steps[-1]}.latents_out"], "latents")
    agree((vae().decode(x) / 2 + 0.5).clamp(0, 1), expected()[f"pipe.{name}.image01"], "image")


def test_to_tensor_is_what_the_reference_transform_ends_in():
    image = Image.fromarray(inputs()["pipe.input_image.0"].numpy())
    transform = ReferenceTransform(4096, 1024, 16)
    torch.testing.assert_close(transform(image), to_tensor(transform.resize(image)))
