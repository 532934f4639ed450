"""Everything that models compute with is on their device: what works on the CPU works on a pretended CUDA device."""

import json
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from perf.gpu.setting import Setting
from perf.gpu.steps import STEPS
from sgt.analysis.analyse import read_findings
from sgt.models.interface import Sampling
from sgt.models.registry import load_model
from sgt.models.rules import family_names
from sgt.models.unified import UnifiedModel
from sgt.study.load import load_study
from tests.conftest import MICRO, STUDY, sgt, write_study
from tests.models.calls import answers, generated, whole_answer_logprobs
from tests.pretend_cuda import CUDA, OnCuda, pretend_cuda

FAMILIES = family_names()
RECIPES = {
    "bf16": {
        "precision": "bf16",
        "optimizer": {"lr": 1.0e-3, "rounding": "stochastic"},
        "ema": 0.5,
        "activation_checkpointing": True,
    },
    "lora": {"lora": {"rank": 2, "alpha": 4.0, "parts": ["understanding", "generation"]}, "max_tokens_per_pack": 600},
}
ANALYSES = [
    {"analysis": "attend", "dataset": "test", "samples": 3},
    {"analysis": "probe", "dataset": "test", "samples": 16, "every": 2},
]


def arguments(model: str, arm: str) -> list[object]:
    return ["config/micro.yaml", "--model", model, "--arm", arm, "--seed", 0]


def picture(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 48, 3), dtype=np.uint8))


@pytest.fixture
def cuda(monkeypatch):
    """A device that there is from now on, for a test and the commands that it runs."""
    about = {
        "is_available": True,
        "get_device_name": "pretended H100",
        "get_device_properties": SimpleNamespace(total_memory=80e9),
        "max_memory_allocated": 10**9,
        "reset_peak_memory_stats": None,
        "synchronize": None,
    }

    for name, value in about.items():
        monkeypatch.setattr(torch.cuda, name, lambda *_, value=value: value)
    with pretend_cuda() as device:
        yield device


def test_the_pretended_device_refuses_what_cuda_refuses():
    with pretend_cuda() as device:
        x = torch.arange(6.0).reshape(2, 3).to(device)
        assert x.is_cuda and x.device == CUDA and torch.empty(2, device=device).is_cuda
        assert x[torch.tensor([1])].sum().item() == 12 and (x * torch.tensor(2.0)).cpu().tolist() == [
            [0, 2, 4],
            [6, 8, 10],
        ]
        layer = torch.nn.Linear(3, 1).to(device)
        layer(x).sum().cpu().backward()
        assert layer.weight.grad.tolist() == [[3, 5, 7]]
        for mixed in (
            lambda: x + torch.ones(2, 3),
            lambda: layer(torch.ones(2, 3)),
            lambda: torch.arange(2)[x[0].long()],
            lambda: torch.cat([x, torch.ones(2, 3)]),
        ):
            with pytest.raises(RuntimeError, match="expected all tensors to be on the same device"):
                mixed()
        with pytest.raises(TypeError, match="convert cuda:0"):
            x.numpy()


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_and_images_are_those_of_the_cpu(family, study_of):
    study_of(family)
    name = MICRO[family]["name"]
    spec = load_study("config/micro.yaml").models[name]

    def work(model: UnifiedModel) -> tuple:
        said = answers(model, [picture(0), picture(1)], [["what is it ?", "how many ?"], ["where ?"]], 5)
        rated = whole_answer_logprobs(model, picture(0), "what is it ?", ["a cube", "red"])
        sampling = Sampling(num_steps=3, cfg_text_scale=3.0, cfg_image_scale=1.5, cfg_interval=(0.0, 1.0))
        made = generated(model, ["a red cube", "two"], [0, 1], (32, 32), sampling)
        made += generated(model, ["draw the edges"], [2], (32, 32), sampling, [picture(2)], edit=True)
        return said, rated, np.stack(made).astype(int)

    said, rated, images = work(load_model(spec, Path("base") / name))
    with pretend_cuda() as device:
        model = load_model(spec, Path("base") / name, device=device)
        assert all(isinstance(parameter, OnCuda) for parameter in model.network.parameters())
        found = work(model)
    assert found[0] == said and found[1] == pytest.approx(rated, abs=1e-4)
    assert np.abs(found[2] - images).max() <= 2


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("family", FAMILIES)
def test_training_has_the_losses_of_the_cpu(family, recipe, study_of, request):
    study_of(family)
    name = MICRO[family]["name"]
    write_study(Path(), models=[name], recipe={**STUDY["recipe"], "steps": 2, **RECIPES[recipe]})
    folder, model = Path(f"results/runs/{name}/segmentation/seed0"), Path(f"config/models/{name}.yaml")
    found = []
    for device in ("cpu", "cuda"):
        if device == "cuda":
            request.getfixturevalue("cuda")
            model.write_text(model.read_text().replace("device: cpu", "device: cuda"))
        sgt("train", *arguments(name, "segmentation"))
        found.append([json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()])
        assert json.loads((folder / "run.json").read_text())["device"]["type"] == device
        folder.rename(device)
    for one, other in zip(*found, strict=True):
        for key in ("ce", "mse", "grad_norm"):
            assert one[key] == pytest.approx(other[key], rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_analyses_find_what_they_find_on_the_cpu(family, study_of, request):
    study_of(family)
    name = MICRO[family]["name"]
    write_study(Path(), models=[name], arms=["base"], analyses=ANALYSES)
    sgt("train", *arguments(name, "base"))
    found = []
    for device in ("cpu", "cuda"):
        if device == "cuda":
            request.getfixturevalue("cuda")
            model = Path(f"config/models/{name}.yaml")
            model.write_text(model.read_text().replace("device: cpu", "device: cuda"))
        study = load_study("config/micro.yaml")
        for kind in ("attend", "probe"):
            sgt(kind, *arguments(name, "base"))
            found.append(read_findings(study, study.run(name, "base", 0), kind))
            Path(f"results/analyses/{name}/base/seed0/{kind}.json").unlink()
    (attend, probe, attend_there, probe_there) = found
    assert attend_there["answering"]["key"] == attend["answering"]["key"] and probe_there.keys() == probe.keys()
    for kind, shares in attend["answering"]["model"].items():
        np.testing.assert_allclose(attend_there["answering"]["model"][kind], shares, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["numerics", "train-short", "train-omnigen2", "inference"])
def test_the_measurements_of_a_gpu_run_there(name, cuda):
    step = STEPS[name]
    rows = list(getattr(import_module(step.module), step.function)(Setting(cuda, tiny=True)))
    assert rows and all(row.figures.get("agrees", "yes") == "yes" for row in rows)
