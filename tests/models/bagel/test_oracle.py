"""Our BAGEL gives the official numbers: packing, losses, hidden states, gradients, sampling, answering."""

import pytest
import torch
from PIL import Image

from sgt.models.attention import split_mask
from sgt.models.bagel.context import Context
from sgt.models.bagel.sampling import sample_latents
from sgt.models.decoding import generate_tokens
from sgt.models.interface import Decoding, Sampling
from sgt.models.transforms import ImageTransform, to_tensor
from tests.models.bagel.oracle import SPECIAL, agree, cases, expected, inputs, network, pack, vae

BATCHES = {
    "pack": ("train.vae_sample_noise", "train.flow_noise", "batch."),
    "sgt_a": ("sgt_a.vae_sample_noise", "sgt_a.flow_noise", "sgt_a.batch."),
}


@pytest.mark.parametrize("case", BATCHES)
def test_packed_batch_has_the_official_fields(case):
    vae_noise, flow_noise, prefix = BATCHES[case]
    batch = pack(case, vae_noise, flow_noise)
    for name, want in expected().items():
        field = name.removeprefix(prefix)
        if field == name or field.startswith("nested"):
            continue
        got = getattr(batch, field)
        got = torch.tensor(got) if isinstance(got, list) else got
        assert got.shape == want.shape, field
        assert torch.equal(got.to(want.dtype), want) or got.is_floating_point(), field
        if got.is_floating_point():
            agree(got, want, field)
    about = cases()[case].get("expected") or cases()[case]
    assert batch.tokens == about["sequence_length"]
    assert batch.sample_lens == about["sample_lens"]
    assert [list(shape) for shape in batch.patchified_vae_latent_shapes] == about["patchified_vae_latent_shapes"]


@pytest.mark.parametrize("case", BATCHES)
def test_mask_says_who_sees_whom(case):
    vae_noise, flow_noise, prefix = BATCHES[case]
    batch = pack(case, vae_noise, flow_noise)
    masks = split_mask(batch.sample_lens, batch.split_lens, batch.attn_modes)
    for sample, length in enumerate(batch.sample_lens):
        want = expected()[f"{prefix}nested_attention_masks.{sample}"].bool()
        assert torch.equal(masks[sample, :length, :length], want)
        assert not masks[sample, :length, length:].any()


def test_splits_are_the_flex_form():
    batch = pack("pack", *BATCHES["pack"][:2])
    assert batch.split_lens == cases()["pack"]["expected"]["split_lens"]
    assert batch.attn_modes == cases()["pack"]["expected"]["attn_modes"]


def _run(case: str, record: dict):
    """Losses of a case, with the packed hidden states put into ``record``."""
    batch = pack(case, *BATCHES[case][:2])
    model = network()
    order = torch.cat([batch.packed_text_indexes, batch.packed_vit_token_indexes, batch.packed_vae_token_indexes])

    def keep(name, packed):
        def hook(module, args, output):
            output = torch.cat(output) if isinstance(output, tuple) else output
            if packed:
                output = torch.empty_like(output).index_copy(0, order, output)
            record[name] = output.detach()

        return hook

    decoder = model.language_model.model
    for index, layer in enumerate(decoder.layers):
        layer.register_forward_hook(keep(f"layer{index}", packed=True))
    decoder.register_forward_hook(keep("final_norm", packed=True))
    model.vit_model.vision_model.register_forward_hook(keep("vit", packed=False))
    model.connector.register_forward_hook(keep("connector", packed=False))
    model.vae2llm.register_forward_hook(keep("vae2llm", packed=False))
    model.time_embedder.register_forward_hook(keep("time_embedder", packed=False))
    model.llm2vae.register_forward_hook(keep("velocity_at_mse_tokens", packed=False))
    model.language_model.lm_head.register_forward_hook(keep("logits_at_ce_tokens", packed=False))
    latents = vae().encode(batch.padded_images, batch.vae_sample_noise)
    record["padded_latent"] = latents
    return model, batch, model(batch, latents, timestep_shift=1.0)


@pytest.mark.parametrize(("name", "case", "hidden"), [("train_shift1", "pack", "hidden."), ("sgt_a", "sgt_a", "")])
def test_training_step(name, case, hidden):
    record = {}
    model, batch, losses = _run(case, record)
    checked = 0
    for key, want in expected().items():
        what = key.removeprefix(f"{name}.").removeprefix(hidden)
        if key.startswith(f"{name}.") and what in record:
            agree(record[what], want, key)
            checked += 1
    assert checked >= (10 if hidden else 4)
    agree(losses.ce, expected()[f"{name}.ce_per_token"], "ce")
    agree(losses.mse, expected()[f"{name}.mse_per_token"], "mse")

    about = cases()[name]
    want = about["expected"]
    weights = batch.ce_loss_weights
    loss = about["ce_weight"] * losses.ce.mean() + about["mse_weight"] * losses.mse.mean()
    assert losses.ce.mean().item() == pytest.approx(want["ce"], rel=1e-5)
    assert losses.mse.mean().item() == pytest.approx(want["mse"], rel=1e-5)
    assert loss.item() == pytest.approx(want["loss"], rel=1e-5)
    reweighted = ((losses.ce * weights).sum() / weights.sum()).item()
    assert reweighted == pytest.approx(want["ce_reweighted_square"], rel=1e-5)

    loss.backward()
    gradients = {key: p.grad for key, p in model.named_parameters() if p.grad is not None}
    for key, norm in want["grad_norms"].items():
        if norm is None:
            assert key not in gradients
            continue
        assert gradients[key].norm().item() == pytest.approx(norm, rel=1e-4, abs=1e-6), key
    for key, value in expected().items():
        if hidden and key.startswith("grad."):
            agree(gradients[key.removeprefix("grad.")], value, key)
    total = torch.stack([g.norm() for g in gradients.values()]).norm().item()
    assert total == pytest.approx(want["grad_norm_total"], rel=1e-4)


def _input_image():
    image = Image.fromarray(inputs()["infer.input_image_uint8_hwc"].numpy())
    resized = ImageTransform(64, 32, 16).resize(image)
    return to_tensor(resized), ImageTransform(70, 28, 14)(resized)


def test_image_transforms():
    for_vae, for_vit = _input_image()
    agree(for_vae, expected()["infer.vae_transform"], "vae")
    agree(for_vit, expected()["infer.vit_transform"], "vit")


@pytest.mark.parametrize("name", cases()["infer"]["cases"])
@torch.no_grad()
def test_sampling_step_by_step(name):
    case, prompt, model = cases()["infer"]["cases"][name], cases()["infer"]["prompt_ids"], network()
    full, image_free = Context(model, SPECIAL, 1), Context(model, SPECIAL, 1)
    if case["with_image"]:
        for_vae, for_vit = _input_image()
        full.add_latents(list(vae().encode(for_vae[None], inputs()[f"infer.{name}.vae_encode_noise"])))
        full.add_vit([for_vit])
    text_free = full.select([0])
    full.add_text([prompt])
    image_free.add_text([prompt])
    for context, prefix in ((full, ""), (text_free, "cfg_text_"), (image_free, "cfg_img_")):
        assert context.valid.sum(1).tolist() == case["expected"][f"{prefix}kv_lens"]
        assert context.position.tolist() == case["expected"][f"{prefix}ropes"]

    settings = Sampling(
        num_steps=case["num_timesteps"] - 1,
        shift=case["timestep_shift"],
        cfg_text_scale=case["cfg_text"],
        cfg_image_scale=case["cfg_img"],
        cfg_interval=tuple(case["interval"]),
        renorm=case["renorm"],
        renorm_min=case["cfg_renorm_min"],
    )
    height, width = case["image_shape"]
    shape, steps = (height // 16, width // 16), []

    def watch(step, x, v):
        agree(x, expected()[f"infer.{name}.step{step}.x_t"], f"x at step {step}")
        agree(v, expected()[f"infer.{name}.step{step}.v_t"], f"v at step {step}")
        steps.append(step)

    x = sample_latents(full, text_free, image_free, inputs()[f"infer.{name}.init_noise"], shape, settings, watch)
    assert steps == list(range(case["num_timesteps"] - 1))
    agree(x, expected()[f"infer.{name}.final_latent_tokens"], "latents")
    agree(vae().decode(model.unpatchify(x, shape)[None]), expected()[f"infer.{name}.decoded_pm1"], "image")


@torch.no_grad()
def test_greedy_answer():
    context = Context(network(), SPECIAL, 1)
    context.add_vit([expected()["infer.vit_transform"]])
    context.add_text([cases()["understanding"]["prompt_ids"]])
    assert context.position.tolist() == cases()["understanding"]["expected"]["ropes"]
    teacher = context.select([0])
    said = expected()["understanding.token_ids_incl_start"].tolist()
    agree(teacher.read([said]), expected()["understanding.logits"], "logits")
    (found,) = generate_tokens(context, SPECIAL.bos, SPECIAL.eos, Decoding(7))
    assert found.ids == said[1:]
