"""The official layout: every name and shape at full size, faults told by name, both layouts of the language model."""

import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Qwen2_5_VLConfig

from sgt.commands.main import main
from sgt.errors import SgtError
from sgt.models.omnigen2.checkpoint import empty_tensors, load_networks
from sgt.models.omnigen2.config import OmniGen2Config, config_of
from sgt.models.omnigen2.language import current_name, official_name
from sgt.models.omnigen2.model import OmniGen2
from sgt.models.omnigen2.rules import OmniGen2Images
from tests.conftest import OMNIGEN2
from tests.models.omnigen2.oracle import FOLDER

KEYS = Path(__file__).parents[2] / "oracles" / "omnigen2_keys.json"
IMAGES = OmniGen2Images(input_image=OMNIGEN2["input_image"], target_image=OMNIGEN2["target_image"])
WEIGHTS = {
    "transformer": "transformer/diffusion_pytorch_model.safetensors",
    "mllm": "mllm/model.safetensors",
    "vae": "vae/diffusion_pytorch_model.safetensors",
}


@pytest.fixture
def folder(study_omnigen2):
    return Path("base/micro-omnigen2")


def rewrite(path: Path, change) -> dict[str, torch.Tensor]:
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    return tensors


def test_the_full_model_has_the_official_names_and_shapes(capsys, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[3])
    assert main(["tensors", "omnigen2"]) == 0
    ours, official = json.loads(capsys.readouterr().out), json.loads(KEYS.read_text())
    shapes = {name: about["shape"] for name, about in ours["transformer"].items()}
    assert shapes == {name: about["shape"] for name, about in official["transformer"].items()}
    assert {about["dtype"] for about in ours["transformer"].values()} == {"BF16"}
    # Qwen2.5-VL-3B under its released names, without the tied head; FLUX's VAE under diffusers'.
    assert ours["mllm"]["model.layers.35.self_attn.k_proj.weight"]["shape"] == [256, 2048]
    assert ours["mllm"]["visual.merger.mlp.2.weight"]["shape"] == [2048, 5120]
    assert "lm_head.weight" not in ours["mllm"] and len(ours["mllm"]) == 824
    assert ours["vae"]["decoder.mid_block.attentions.0.to_q.weight"]["shape"] == [512, 512]
    assert len(ours["vae"]) == 244


def test_vae_names_are_those_of_diffusers():
    stored = load_file(FOLDER / "vae.safetensors")
    architecture = {"vae": {"ch": 16, "ch_mult": [1, 1, 2, 2], "num_res_blocks": 1, "z_channels": 4, "norm_groups": 8}}
    ours, _ = empty_tensors(architecture)["vae"]
    assert {name: tensor.shape for name, tensor in ours.items()} == {name: t.shape for name, t in stored.items()}


def test_saved_and_loaded_again_every_tensor_and_file_is_equal(folder, tmp_path):
    OmniGen2.from_checkpoint(folder, IMAGES).save_checkpoint(tmp_path)
    for part, name in WEIGHTS.items():
        one, other = load_file(folder / name), load_file(tmp_path / name)
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) and one[key].dtype == other[key].dtype for key in one)
        assert {tensor.dtype for tensor in one.values()} == {torch.float32 if part == "vae" else torch.bfloat16}
    files = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    again = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {name: data for name, data in again.items() if not str(name).startswith("study/")}


def test_both_layouts_of_the_language_model_load(folder):
    network, _ = load_networks(folder, torch.bfloat16)
    path = folder / WEIGHTS["mllm"]
    tensors = load_file(path)
    assert all(official_name(current_name(name)) == name for name in tensors)
    assert {current_name(name) for name in tensors} & set(tensors) == {"lm_head.weight"}
    save_file({current_name(name): value for name, value in tensors.items()}, path)
    again, _ = load_networks(folder, torch.bfloat16)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in network.state_dict().items())


def test_a_tied_head_may_be_stored_or_not(folder):
    config = json.loads((folder / "mllm/config.json").read_text())
    (folder / "mllm/config.json").write_text(json.dumps({**config, "tie_word_embeddings": True}))
    one, _ = load_networks(folder, torch.float32)
    rewrite(folder / WEIGHTS["mllm"], lambda tensors: tensors.pop("lm_head.weight"))
    other, _ = load_networks(folder, torch.float32)
    for network in (one, other):
        assert network.mllm.lm_head.weight is network.mllm.model.language_model.embed_tokens.weight
    # An untied one must be.
    (folder / "mllm/config.json").write_text(json.dumps(config))
    with pytest.raises(SgtError, match=r"1 missing \(lm_head.weight\)"):
        load_networks(folder, torch.float32)


def test_parts_listed_in_an_index_are_one_checkpoint(folder):
    tensors = load_file(folder / WEIGHTS["transformer"])
    names = sorted(tensors)
    where = folder / "transformer"
    parts = {"a-1.safetensors": names[::2], "a-2.safetensors": names[1::2]}
    for part, members in parts.items():
        save_file({name: tensors[name] for name in members}, where / part)
    (folder / WEIGHTS["transformer"]).unlink()
    listed = {name: part for part, members in parts.items() for name in members}
    (where / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps({"weight_map": listed}))
    network, _ = load_networks(folder, torch.bfloat16)
    assert all(torch.equal(value, tensors[name]) for name, value in network.transformer.state_dict().items())


def test_whatever_is_wrong_with_tensors_is_told_at_once_by_name(folder):
    def spoil(tensors):
        tensors["surplus.weight"] = torch.zeros(1)
        del tensors["x_embedder.bias"]
        tensors["norm_out.linear_2.bias"] = torch.zeros(3)

    rewrite(folder / WEIGHTS["transformer"], spoil)
    with pytest.raises(SgtError) as caught:
        load_networks(folder, torch.float32)
    told = str(caught.value)
    assert "1 missing (x_embedder.bias)" in told
    assert "1 unexpected (surplus.weight in diffusion_pytorch_model.safetensors)" in told
    assert (
        "1 misshapen (norm_out.linear_2.bias is [3] in diffusion_pytorch_model.safetensors, config wants [16])" in told
    )
    assert "\n" not in told


@pytest.mark.parametrize(
    "name",
    [
        *WEIGHTS.values(),
        "transformer/config.json",
        "mllm/config.json",
        "vae/config.json",
        "processor/tokenizer.json",
        "processor/preprocessor_config.json",
    ],
)
def test_a_missing_or_damaged_file_is_named(name, folder):
    path = folder / name
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(SgtError, match=name):
        OmniGen2.from_checkpoint(folder, IMAGES)
    path.unlink()
    with pytest.raises(SgtError, match=f"{name}: no such file"):
        OmniGen2.from_checkpoint(folder, IMAGES)


def test_an_overlay_in_the_layout_of_sgt_replaces_what_it_holds_and_nothing_else(folder, tmp_path):
    base = {part: load_file(folder / WEIGHTS[part]) for part in ("transformer", "mllm")}
    over = tmp_path / "transformer"
    mine = {"x_embedder.weight": base["transformer"]["x_embedder.weight"] + 1}
    for part in ("transformer", "text_encoder"):
        (over / part).mkdir(parents=True)
    save_file(mine, over / "transformer/diffusion_pytorch_model.safetensors")
    said = {"model.language_model.norm.weight": base["mllm"]["model.norm.weight"] + 1}
    save_file(said, over / "text_encoder/model.safetensors")
    network, _ = load_networks(folder, torch.bfloat16, overlay=tmp_path)
    for name, value in network.transformer.state_dict().items():
        assert torch.equal(value, mine.get(name, base["transformer"][name])), name
    for name, value in network.mllm.state_dict().items():
        assert torch.equal(value, said.get(name, base["mllm"][official_name(name)])), name
    shutil.rmtree(over)
    with pytest.raises(SgtError, match="neither transformer/transformer nor transformer/text_encoder"):
        load_networks(folder, torch.bfloat16, overlay=tmp_path)


def test_unknown_sizes_are_refused():
    assert config_of({}) == OmniGen2Config()
    for architecture, said in (
        ({"transformer": {"hiden_size": 3}}, "architecture.transformer.hiden_size: unknown key"),
        ({"mllm": {"vision_config": {"dept": 3}}}, "architecture.mllm.vision_config.dept: unknown key"),
        ({"llm": {}}, "architecture.llm: unknown key"),
    ):
        with pytest.raises(SgtError, match=said):
            config_of(architecture)


def nested(config: dict) -> dict:
    """What transformers 4.52 to 4.57 write: the sizes of the language model are in ``text_config``."""
    outer = {"architectures", "model_type", "vision_config"} | {key for key in config if key.endswith("_token_id")}
    outer -= {"bos_token_id", "eos_token_id"}
    inner = {key: value for key, value in config.items() if key not in outer}
    return {key: config[key] for key in outer} | {"text_config": {**inner, "model_type": "qwen2_5_vl_text"}}


def saved_by_transformers(config: dict) -> dict:
    """What the installed transformers writes, with its own names of the rotary frequencies."""
    with TemporaryDirectory() as here:
        Qwen2_5_VLConfig(**json.loads(json.dumps(config))).save_pretrained(here)
        written = json.loads(Path(here, "config.json").read_text())
    assert "rope_parameters" in written["text_config"]
    return written


def flat_with_new_names(config: dict) -> dict:
    theta, scaling = config["rope_theta"], config["rope_scaling"]
    rest = {key: value for key, value in config.items() if key not in ("rope_theta", "rope_scaling")}
    return {**rest, "rope_parameters": {**scaling, "rope_type": "default", "rope_theta": theta}}


def other_names_of_the_tower(config: dict) -> dict:
    vision = dict(config["vision_config"])
    vision |= {"num_hidden_layers": vision.pop("depth"), "num_attention_heads": vision.pop("num_heads")}
    return {**config, "vision_config": vision}


@pytest.mark.parametrize("form", [nested, saved_by_transformers, flat_with_new_names, other_names_of_the_tower])
@pytest.mark.parametrize("tied", [False, True])
def test_a_configuration_in_the_form_of_any_transformers_is_the_same_model(form, tied, folder, tmp_path):
    path = folder / "mllm/config.json"
    config = {**json.loads(path.read_text()), "tie_word_embeddings": tied, "rope_theta": 5000.0}
    path.write_text(json.dumps(config))
    one, _ = load_networks(folder, torch.float32)
    path.write_text(json.dumps(form(config)))
    model = OmniGen2.from_checkpoint(folder, IMAGES)
    other = model.network
    assert all(torch.equal(value, other.state_dict()[name].float()) for name, value in one.state_dict().items())
    assert torch.equal(
        one.mllm.model.language_model.rotary_emb.inv_freq, other.mllm.model.language_model.rotary_emb.inv_freq
    )
    assert other.config.language.text_config.rope_parameters["mrope_section"] == [2, 1, 1]
    assert other.mllm.config.tie_word_embeddings is tied
    # What is saved is in the form of the released file, which every version reads.
    model.save_checkpoint(tmp_path)
    saved = json.loads((tmp_path / "mllm/config.json").read_text())
    assert "text_config" not in saved and "rope_parameters" not in saved and saved["rope_theta"] == 5000.0
    assert {key: saved[key] for key in ("vocab_size", "hidden_size", "rope_scaling", "tie_word_embeddings")} == {
        key: config[key] for key in ("vocab_size", "hidden_size", "rope_scaling", "tie_word_embeddings")
    }
    assert saved["vision_config"]["depth"] == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"vocab_size": None}, "has no vocab_size"),
        ({"hidden_size": "32"}, "hidden_size is '32', not a whole number above 0"),
        ({"num_attention_heads": 0}, "num_attention_heads is 0, not a whole number above 0"),
        ({"rope_theta": None}, "has no rope_theta"),
        ({"rope_theta": "much"}, "rope_theta is 'much', not a number above 0"),
        ({"rope_scaling": None}, "mrope_section is None, not a list"),
        ({"rope_scaling": [1]}, "rope_scaling is [1], not an object"),
        (
            {"rope_scaling": {"type": "mrope", "mrope_section": [2, 1]}},
            "mrope_section [2, 1] is not half of a head's 8",
        ),
        ({"text_config": "none"}, "text_config is 'none', not an object"),
        ({"vision_config": None}, "has no vision_config"),
        ({"vision_config": {"depth": 1}}, "has no vision_config.hidden_size"),
        ({"model_type": "qwen3_vl"}, "model_type is 'qwen3_vl'"),
        ({"use_sliding_window": True}, "use_sliding_window is true"),
        ({"rms_norm_eps": "small"}, "transformers cannot use it ("),
    ],
)
def test_a_configuration_of_anything_else_is_told_with_file_and_key(change, said, folder):
    path = folder / "mllm/config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(SgtError) as caught:
        load_networks(folder, torch.float32)
    assert str(caught.value).startswith(f"{path}: {said}") and "\n" not in str(caught.value)


def test_what_the_newer_form_lacks_is_told_too(folder):
    path = folder / "mllm/config.json"
    config = nested(json.loads(path.read_text()))
    del config["text_config"]["num_hidden_layers"]
    path.write_text(json.dumps(config))
    with pytest.raises(SgtError, match=r"mllm/config.json: has no num_hidden_layers; "):
        load_networks(folder, torch.float32)
