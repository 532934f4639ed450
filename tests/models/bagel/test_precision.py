"""The three precisions: what they compute agrees, gradients flow, and what must stay in fp32 does."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from sgt.commands.main import main
from sgt.config.recipe import Recipe
from sgt.models.bagel.layers import RMSNorm, rotary, rotate
from sgt.models.examples import InputImage, QAPair, TargetImage, Text
from sgt.models.interface import Sampling
from sgt.models.registry import device_of, load_model
from sgt.models.vae import VAE
from sgt.study.load import load_study
from sgt.training.trainable import make_trainable
from tests.conftest import STUDY, write_study
from tests.models.bagel.oracle import network, pack, vae
from tests.models.calls import answers, generated, whole_answer_logprobs
from tests.training.conftest import BEFORE_ITS_END, Micro

LOWER = ["bf16-autocast", "bf16"]
SETTINGS = Sampling(num_steps=4, cfg_text_scale=3.0, cfg_image_scale=1.5, cfg_interval=(0.0, 1.0), renorm="channel")


def picture(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (48, 48, 3), dtype=np.uint8))


EXAMPLES = [
    [InputImage(picture(0)), Text("paint it"), TargetImage(picture(1))],
    [InputImage(picture(2)), QAPair("how many", "two"), QAPair("where", "left")],
]


def load(precision: str):
    return load_model(load_study("config/micro.yaml").models["micro"], Path("base/micro"), precision)


def losses(model) -> torch.Tensor:
    """Both losses and the norm of their gradient."""
    terms = model.loss(model.batch(EXAMPLES, range(len(EXAMPLES))), 1.0)
    assert terms.ce.dtype == terms.mse.dtype == torch.float32
    (terms.ce + terms.mse).backward()
    gradients = [p.grad for p in model.network.parameters() if p.requires_grad]
    assert all(g is not None and torch.isfinite(g).all() for g in gradients)
    return torch.stack([terms.ce, terms.mse, torch.stack([g.float().norm() for g in gradients]).norm()]).detach()


@pytest.mark.parametrize("precision", LOWER)
def test_losses_and_gradients_are_nearly_those_of_fp32(precision, study):
    model = load(precision)
    weights = torch.float32 if precision == "bf16-autocast" else torch.bfloat16
    assert {p.dtype for p in model.network.parameters()} == {weights}
    torch.testing.assert_close(losses(model), losses(load("fp32")), rtol=0.03, atol=0.01)
    assert {p.grad.dtype for p in model.network.parameters() if p.grad is not None} == {weights}


@pytest.mark.parametrize("precision", LOWER)
def test_matrix_products_are_in_bf16_and_the_vae_in_fp32(precision, study, monkeypatch):
    model, seen = load(precision), {}
    layer = model.network.language_model.model.layers[0]
    for name, module in {"mlp": layer.mlp.up_proj, "q": layer.self_attn.q_norm, "vae": model.vae.encoder}.items():
        module.register_forward_hook(lambda module, args, output, name=name: seen.update({name: output.dtype}))
    losses(model)
    assert seen == {"mlp": torch.bfloat16, "q": torch.bfloat16, "vae": torch.float32}
    decode = VAE.decode
    monkeypatch.setattr(VAE, "decode", lambda vae, x: seen.update(made=decode(vae, x).dtype) or decode(vae, x))
    generated(model, ["a red cube"], [0], (48, 48), SETTINGS)
    assert seen["made"] == torch.float32


@pytest.mark.parametrize("precision", LOWER)
def test_answers_scores_and_images_are_nearly_those_of_fp32(precision, study):
    exact, model = load("fp32"), load(precision)
    said = answers(model, [picture(0)], [["how many", "where"]], 4)
    assert len(said[0]) == 2 and said == answers(model, [picture(0)], [["how many", "where"]], 4)
    options = ["two", "left of it"]
    assert whole_answer_logprobs(model, picture(0), "how many", options) == pytest.approx(
        whole_answer_logprobs(exact, picture(0), "how many", options), rel=0.02
    )
    for images, edit in ((None, False), ([picture(0)], False), ([picture(0)], True)):
        ours, theirs = (
            np.asarray(generated(m, ["a red cube"], [0], (48, 48), SETTINGS, images, edit)[0], int)
            for m in (model, exact)
        )
        assert np.abs(ours - theirs).mean() < 8


@torch.no_grad()
@pytest.mark.parametrize("autocast", [True, False])
def test_the_oracles_losses_in_bf16(autocast):
    """Random weights of unit scale are harder than trained ones: within 3% of the official fp32 losses."""
    batch = pack("pack", "train.vae_sample_noise", "train.flow_noise")
    model = network() if autocast else network().bfloat16()
    latents = vae().encode(batch.padded_images, batch.vae_sample_noise)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        found = model(batch, latents, 1.0)
    assert found.ce.mean().item() == pytest.approx(6.76682710647583, rel=0.03)
    assert found.mse.mean().item() == pytest.approx(2.5040698051452637, rel=0.03)


def test_rotary_angles_and_norm_statistics_are_fp32_whatever_the_weights():
    positions = torch.tensor([0, 1, 4097, 32767])
    cos, sin = rotary(positions, 128, 1e6)
    exact = positions.double()[:, None] * 1e6 ** (-torch.arange(64, dtype=torch.float64) / 64)
    assert cos.dtype == sin.dtype == torch.float32
    torch.testing.assert_close(cos[:, 0].double(), exact.cos(), rtol=0, atol=4e-3)
    x = torch.randn(4, 3, 128, generator=torch.Generator().manual_seed(0)).bfloat16()
    torch.testing.assert_close(rotate(x, (cos, sin)), rotate(x.float(), (cos, sin)).bfloat16())
    # In bf16 the mean of these squares would stay at the first: 256 + 1 is 256 there.
    row = torch.ones(1, 512, dtype=torch.bfloat16)
    row[0, 0] = 16
    norm = RMSNorm(512, 1e-6)
    want = row.float() / row.float().square().mean().sqrt()
    for module in (norm, norm.bfloat16()):
        assert module(row).dtype == torch.bfloat16
        torch.testing.assert_close(module(row), want.bfloat16())


@pytest.mark.parametrize("precision", ["fp32", *LOWER])
def test_a_recipe_trains_in_its_precision(precision, study):
    write_study(Path(), recipe={**STUDY["recipe"], "precision": precision})
    run = Micro("segmentation")
    run.killed(BEFORE_ITS_END)
    lines = [json.loads(line) for line in (run.work / "metrics.jsonl").read_text().splitlines()]
    assert len(lines) == 6 and all(np.isfinite(line["loss"]) for line in lines)
    stored = load_file(run.work / "step-0000006/weights-00000-of-00001.safetensors")
    weights = torch.bfloat16 if precision == "bf16" else torch.float32
    assert {value.dtype for value in stored.values()} == {weights}


def test_answers_are_weighed_by_the_root_of_their_length(study):
    """Two answers, of n₁ and n₂ supervised tokens: each counts with √n of its mean."""
    model = load("fp32")
    examples = [[InputImage(picture(0)), Text("q"), Text("yes", supervised=True), Text("q"), Text("on the left", True)]]
    make_trainable(model, Recipe(steps=1, batch=3, length_weighted=True), 0)
    batch = model.batch(examples, [0])
    with torch.no_grad():
        each = model.network(batch, batch.vae_sample_noise, 1.0).ce
        counts = [len(model.ids(text)) + 1 for text in ("yes", "on the left")]
        means = [part.mean() for part in each.split(counts)]
        roots = torch.tensor(counts).sqrt()
        want = (roots * torch.stack(means)).sum() / roots.sum()
        torch.testing.assert_close(model.loss(batch, 1.0).ce / batch.ce_tokens, want)
        model.length_weighted = False
        batch = model.batch(examples, [0])
        torch.testing.assert_close(model.loss(batch, 1.0).ce / batch.ce_tokens, each.mean())


def test_a_device_that_is_not_there_is_one_line(study, capsys, monkeypatch):
    spec = load_study(study).models["micro"]
    auto, wanted = (spec.model_copy(update={"device": device}) for device in ("auto", "cuda"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [device_of(s).type for s in (spec, auto, wanted)] == ["cpu", "cuda", "cuda"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert [device_of(s).type for s in (spec, auto)] == ["cpu", "cpu"]
    text = Path("config/models/micro.yaml").read_text()
    Path("config/models/micro.yaml").write_text(text.replace("device: cpu", "device: cuda"))
    assert main(["train", str(study), "--model", "micro", "--arm", "sft", "--seed", "0"]) == 1
    assert "model micro: device: there is no CUDA device; say auto or cpu" in capsys.readouterr().err
