"""What a user meets: a trained checkpoint in a new process, and one clear line for what cannot be."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from sgt.commands.main import main
from sgt.models.interface import Sampling
from sgt.models.registry import load_model
from sgt.study.load import load_study
from tests.conftest import GENERATION, sgt, sides
from tests.models.bagel.test_precision import picture
from tests.models.calls import answers, generated, whole_answer_logprobs

WORDS = ["config/micro.yaml", "--model", "micro", "--seed", "0"]
FINAL = Path("results/runs/micro/segmentation/seed0/final")
SETTINGS = Sampling(num_steps=3, cfg_text_scale=3.0, cfg_image_scale=1.5, cfg_interval=(0.0, 1.0))
QUESTIONS = ["how many cubes are there", "what is left of the red ball", "is there a blue cone"]


def digest_of(model) -> str:
    """Of what a model says, thinks likely and makes: greedy and drawn, from text, from an image, by editing."""
    said = answers(model, [picture(0)], [QUESTIONS], 6), answers(model, [picture(1)], [QUESTIONS], 6, 1.0, seed=3)
    made = [
        np.asarray(image).tobytes()
        for images, edit in ((None, False), ([picture(0)], False), ([picture(0)], True))
        for image in generated(model, ["a red cube"], [0], (48, 48), SETTINGS, images, edit)
    ]
    scores = whole_answer_logprobs(model, picture(0), QUESTIONS[0], ["one", "two"])
    return hashlib.sha256(json.dumps([said, scores]).encode() + b"".join(made)).hexdigest()


IN_A_NEW_PROCESS = """
import sys, torch
from pathlib import Path
from sgt.models.registry import load_model
from sgt.study.load import load_study
from tests.models.bagel.test_command_line import digest_of
torch.set_num_threads(1)
print(digest_of(load_model(load_study("config/micro.yaml").models["micro"], Path(sys.argv[1]), sys.argv[2])))
"""


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_trained_checkpoint_says_and_makes_the_same_in_a_new_process(precision, study):
    sgt("train", *WORDS, "--arm", "segmentation")
    model = load_model(load_study(study).models["micro"], FINAL, precision)
    base = load_model(load_study(study).models["micro"], Path("base/micro"), precision)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    here, before = digest_of(model), digest_of(base)
    torch.set_num_threads(threads)
    environment = {"PYTHONPATH": str(Path(__file__).parents[3]), "PATH": ""}
    command = [sys.executable, "-c", IN_A_NEW_PROCESS, str(FINAL), precision]
    there = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()
    assert there == here != before


@pytest.fixture
def fails(study, capsys):
    """Runs a command that must end in one line, which it returns."""
    sgt("train", *WORDS, "--arm", "base")

    def run(command: str, *words: str) -> str:
        assert main([command, *WORDS, *words]) == 1
        (line,) = [line for line in capsys.readouterr().err.splitlines() if "error" in line.lower()]
        assert line.startswith(f"sgt {command}: error: ") and "; " in line
        return line

    return run


def change_yaml(path: str, **changes) -> None:
    content = yaml.safe_load(Path(path).read_text())
    Path(path).write_text(yaml.safe_dump({**content, **changes}))


PREDICT = ("predict", "--arm", "base", "--benchmark")


def test_a_missing_file_and_a_wrong_shape(fails):
    weights = Path("base/micro/ema.safetensors")
    tensors = load_file(weights)
    save_file({**tensors, "llm2vae.bias": torch.zeros(3)}, weights)
    line = fails("train", "--arm", "sft")
    assert (
        "base/micro/ema.safetensors: tensors: 1 misshapen (llm2vae.bias is [3] in ema.safetensors, config wants [16])"
        in line
    )
    sgt("train", *WORDS, "--arm", "base")
    assert line == fails(*PREDICT, "toyworld-qa").replace("sgt predict", "sgt train")
    Path("base/micro/ae.safetensors").unlink()
    save_file(tensors, weights)
    assert "base/micro/ae.safetensors: no such file" in fails("train", "--arm", "sft")


def test_an_image_larger_than_the_position_table(fails):
    # A file that gives no sizes: those of the weights are seen when they are loaded.
    change_yaml(
        "config/models/micro.yaml",
        architecture=None,
        pretrain=None,
        input_image=sides(96),
    )
    sgt("train", *WORDS, "--arm", "base")
    assert "12x12 tokens exceed the 6x6 position table (for micro" in fails(*PREDICT, "toyworld-qa")
    change_yaml(
        "config/models/micro.yaml",
        input_image=sides(48),
        target_image=sides(96),
    )
    sgt("train", *WORDS, "--arm", "base")
    assert "12x12 tokens exceed the 6x6 position table (for micro" in fails(*PREDICT, "toyworld-gen")
    assert "12x12 tokens exceed the 6x6 position table (for micro" in fails("train", "--arm", "edge")


def test_a_prompt_longer_than_the_context(fails):
    config = json.loads(Path("base/micro/llm_config.json").read_text())
    Path("base/micro/llm_config.json").write_text(json.dumps({**config, "max_position_embeddings": 9}))
    sgt("train", *WORDS, "--arm", "base")
    for benchmark in ("toyworld-qa", "toyworld-gen"):
        assert "positions exceed the context of 9" in fails(*PREDICT, benchmark)
    assert "positions exceed the context of 9" in fails("train", "--arm", "sft")


def test_a_system_text_is_part_of_a_benchmark(study):
    sgt("train", *WORDS, "--arm", "base")
    change_yaml(
        "config/benchmarks/toyworld-gen.yaml", sampling={**GENERATION["sampling"], "system": "think", "think_tokens": 3}
    )
    change_yaml("config/benchmarks/toyworld-qa.yaml", decoding={"max_new_tokens": 8, "system": "think"})
    for benchmark, options in (("toyworld-qa", "decoding"), ("toyworld-gen", "sampling")):
        sgt("predict", *WORDS, "--arm", "base", "--benchmark", benchmark)
        meta = json.loads(Path(f"results/predictions/micro/base/seed0/{benchmark}/meta.json").read_text())
        assert meta["options"][options]["system"] == "think"
