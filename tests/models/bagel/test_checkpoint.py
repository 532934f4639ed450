"""The official layout: every name and shape at 7B, faults told by name, and no second copy in memory."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from sgt.commands.main import main
from sgt.errors import SgtError
from sgt.models import weights
from sgt.models.bagel.checkpoint import load_networks
from sgt.models.bagel.config import LLMConfig, config_of, read_config
from sgt.models.bagel.model import Bagel
from sgt.models.bagel.rules import BagelImages, SideBounds
from tests.conftest import sides

KEYS = Path(__file__).parents[2] / "oracles" / "bagel_keys.json"
IMAGES = BagelImages(input_image=SideBounds(**sides(48)), target_image=SideBounds(**sides(48)))


@pytest.fixture
def folder(study):
    return Path("base/micro")


def rewrite(path: Path, change) -> dict[str, torch.Tensor]:
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    return tensors


def test_the_7b_model_has_the_official_names_shapes_and_dtypes(capsys, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[3])
    assert main(["tensors", "bagel-7b"]) == 0
    ours, official = json.loads(capsys.readouterr().out), json.loads(KEYS.read_text())
    for file, group in (("ema", "model"), ("ae", "ae")):
        told = {name: {key: about[key] for key in ("shape", "dtype")} for name, about in official[group].items()}
        assert ours[file] == told
    assert main(["tensors", "bagel-8b"]) == 1
    assert "config/models/bagel-8b.yaml: no such file" in capsys.readouterr().err


def test_saved_and_loaded_again_every_tensor_is_equal(folder, tmp_path):
    Bagel.from_checkpoint(folder, IMAGES).save_checkpoint(tmp_path)
    for name in ("ema.safetensors", "ae.safetensors"):
        one, other = load_file(folder / name), load_file(tmp_path / name)
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) and one[key].dtype == other[key].dtype for key in one)
    assert {tensor.dtype for tensor in load_file(tmp_path / "ema.safetensors").values()} == {torch.bfloat16}
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {path.name for path in folder.iterdir()}


def test_parts_listed_in_an_index_are_one_checkpoint(folder):
    tensors = load_file(folder / "ema.safetensors")
    names = sorted(tensors)
    parts = {"ema-1.safetensors": names[::2], "ema-2.safetensors": names[1::2]}
    for part, members in parts.items():
        save_file({name: tensors[name] for name in members}, folder / part)
    (folder / "ema.safetensors").unlink()
    listed = {name: part for part, members in parts.items() for name in members}
    index = folder / "ema.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": listed}))
    network, _ = load_networks(folder, torch.bfloat16)
    assert all(
        torch.equal(value, tensors[name]) for name, value in network.state_dict().items() if "pos_embed" not in name
    )
    for text, said in (
        (json.dumps({"weight_map": {"a": "../../secret.safetensors"}}), "outside the folder"),
        ("{", "not an index"),
    ):
        index.write_text(text)
        with pytest.raises(SgtError, match=said):
            load_networks(folder, torch.bfloat16)


def test_the_latent_table_decides_its_size_and_tables_may_be_absent(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "max_latent_size": 32}))
    network, _ = load_networks(folder, torch.float32)
    assert network.config.max_latent_size == 6
    (folder / "config.json").write_text(json.dumps(config))
    rewrite(folder / "ema.safetensors", lambda t: [t.pop(f"{n}_pos_embed.pos_embed") for n in ("latent", "vit")])
    again, _ = load_networks(folder, torch.float32)
    assert torch.equal(network.latent_pos_embed.pos_embed, again.latent_pos_embed.pos_embed)


def test_whatever_is_wrong_with_tensors_is_told_at_once_by_name(folder):
    def spoil(tensors):
        tensors["surplus.weight"] = torch.zeros(1)
        del tensors["llm2vae.bias"], tensors["connector.fc1.bias"]
        tensors["connector.fc2.bias"] = torch.zeros(3)

    rewrite(folder / "ema.safetensors", spoil)
    with pytest.raises(SgtError) as caught:
        load_networks(folder, torch.float32)
    told = str(caught.value)
    assert "2 missing (" in told
    assert "connector.fc1.bias" in told and "llm2vae.bias" in told
    assert "1 unexpected (surplus.weight in ema.safetensors)" in told
    assert "1 misshapen (connector.fc2.bias is [3] in ema.safetensors, config wants [32])" in told
    assert "\n" not in told


@pytest.mark.parametrize(
    "name", ["ema.safetensors", "ae.safetensors", "config.json", "llm_config.json", "tokenizer.json"]
)
def test_a_missing_or_damaged_file_is_named(name, folder):
    path = folder / name
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(SgtError, match=name):
        Bagel.from_checkpoint(folder, IMAGES)
    path.unlink()
    with pytest.raises(SgtError, match=f"{name}: no such file"):
        Bagel.from_checkpoint(folder, IMAGES)


def test_an_overlay_replaces_what_it_holds_and_nothing_else(folder, tmp_path):
    base = load_file(folder / "ema.safetensors")
    mine = {name: base[name] + 1 for name in ("llm2vae.weight", "connector.fc1.weight")}
    save_file(mine, tmp_path / "ema.safetensors")
    network, _ = load_networks(folder, torch.bfloat16, overlay=tmp_path)
    for name, value in network.state_dict().items():
        if "pos_embed" not in name:
            assert torch.equal(value, mine.get(name, base[name])), name
    save_file({"llm2vae.wieght": torch.zeros(1)}, tmp_path / "ema.safetensors")
    with pytest.raises(SgtError, match=r"1 unexpected \(llm2vae.wieght"):
        load_networks(folder, torch.bfloat16, overlay=tmp_path)


def test_markers_that_the_tokenizer_lacks_are_added_with_rows_of_their_own(folder, tmp_path):
    path = folder / "tokenizer.json"
    record = json.loads(path.read_text())
    rows = Bagel.from_checkpoint(folder, IMAGES).network.config.llm.vocab_size
    record["added_tokens"] = [token for token in record["added_tokens"] if "vision" not in token["content"]]
    path.write_text(json.dumps(record))
    # The two removed were the last: their numbers are free again, and the embedding is cut to what is left.
    for name in ("language_model.model.embed_tokens.weight", "language_model.lm_head.weight"):
        rewrite(
            folder / "ema.safetensors", lambda tensors, name=name: tensors.update({name: tensors[name][:-2].clone()})
        )
    llm = json.loads((folder / "llm_config.json").read_text())
    (folder / "llm_config.json").write_text(json.dumps({**llm, "vocab_size": rows - 2}))
    model = Bagel.from_checkpoint(folder, IMAGES)
    assert sorted(vars(model.special).values())[-2:] == [rows - 2, rows - 1]
    embedding = model.network.language_model.model.embed_tokens.weight
    assert len(embedding) == rows == model.network.config.llm.vocab_size
    torch.testing.assert_close(embedding[-1], embedding[:-2].mean(0))
    model.save_checkpoint(tmp_path)
    again = Bagel.from_checkpoint(tmp_path, IMAGES)
    assert again.special == model.special and again.network.config == model.network.config


def test_unknown_sizes_are_refused():
    assert config_of({}).llm == LLMConfig()
    with pytest.raises(SgtError, match=r"architecture.llm.hiden_size: unknown key"):
        config_of({"llm": {"hiden_size": 3}})


LOADER = """
import resource, sys, torch
from pathlib import Path
from torch import nn
from sgt.models import weights
weights.MAPPED_BYTES = 8 * 2**20
with torch.device("meta"):
    module = nn.ModuleList(nn.Linear(1024, 1024, bias=False) for _ in range(64))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
weights.load_weights(module, [Path(sys.argv[1])], getattr(torch, sys.argv[2]))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_loading_needs_little_more_memory_than_the_weights(dtype, tmp_path):
    path = tmp_path / "a.safetensors"
    save_file({f"{i}.weight": torch.randn(1024, 1024).bfloat16() for i in range(64)}, path)
    done = subprocess.run([sys.executable, "-c", LOADER, path, dtype], capture_output=True, text=True, check=True)
    size = 64 * 2**20 * (4 if dtype == "float32" else 2)
    assert int(done.stdout) < 1.2 * size
    assert weights.MAPPED_BYTES == 256 * 2**20


def test_configurations_in_the_form_of_any_transformers_are_the_same_model(folder):
    config = read_config(folder)
    llm, vit = (json.loads((folder / f"{name}_config.json").read_text()) for name in ("llm", "vit"))
    (folder / "llm_config.json").write_text(json.dumps({**llm, "rope_theta": 5000.0}))
    expected = replace(config, llm=replace(config.llm, rope_theta=5000.0))
    assert read_config(folder) == expected
    del llm["rope_theta"]
    renamed = {**llm, "rope_parameters": {"rope_theta": 5000.0, "rope_type": "default"}}
    for form in (renamed, {**llm, "rope_theta": 5000.0, "rope_scaling": None}, {"text_config": renamed}):
        (folder / "llm_config.json").write_text(json.dumps(form))
        assert read_config(folder) == expected
    (folder / "vit_config.json").write_text(json.dumps({"model_type": "siglip", "vision_config": vit}))
    assert read_config(folder) == expected


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("llm", {"num_attention_heads": None}, "has no num_attention_heads"),
        ("llm", {"hidden_size": 32.0}, "hidden_size is 32.0, not a whole number above 0"),
        ("llm", {"rope_theta": None}, "has no rope_theta"),
        ("llm", {"rope_scaling": {"type": "yarn", "factor": 4.0}}, "rope_type is 'yarn'"),
        ("llm", {"text_config": []}, "text_config is [], not an object"),
        ("vit", {"patch_size": None}, "has no patch_size"),
        ("vit", {"num_hidden_layers": True}, "num_hidden_layers is True, not a whole number above 0"),
    ],
)
def test_a_configuration_of_anything_else_is_told_with_file_and_key(name, change, said, folder):
    path = folder / f"{name}_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(SgtError) as caught:
        read_config(folder)
    assert str(caught.value).startswith(f"{path}: {said}") and "\n" not in str(caught.value)
