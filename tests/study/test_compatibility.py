"""What would end a job of a study is refused before there is one."""

import copy
from pathlib import Path

import pytest
import yaml

from sgt.config.models import Model
from sgt.evaluation.evaluators.scene_reader import SceneReader
from sgt.evaluation.tasks.toyworld_gen import ToyworldGen
from sgt.models.family import family_of
from sgt.models.registry import target_transform
from sgt.models.rules import family_names, model_identity, rules_of
from sgt.models.unified import UnifiedModel
from sgt.study.load import load_study
from tests.conftest import GENERATION, MODEL, OMNIGEN2, STUDY, sides

STUDY_FILE = "config/micro.yaml"
MODEL_FILE, OMNIGEN2_FILE = "config/models/micro.yaml", "config/models/micro-omnigen2.yaml"
GENERATION_FILE = "config/benchmarks/toyworld-gen.yaml"
QUESTIONS_FILE = "config/benchmarks/toyworld-qa.yaml"
QUESTIONS = {"name": "toyworld-qa", "task": "toyworld-qa", "version": 1, "dataset": "test", "groups": {}}
DATASETS, DATA, RECIPE = STUDY["datasets"], STUDY["data"], STUDY["recipe"]
SAM = {"source": "sam-sgt", "tars": 1}
COCO = {"source": "coco", "images": 10, "maps": ["stuff"]}
TALK = {"source": "llava-onevision", "samples": 10}


def write(file: str, content: dict) -> None:
    Path(file).write_text(yaml.safe_dump(content))


def changed(content: dict, path: str, value: object) -> dict:
    """A copy with one field, named by its path, changed; None takes it away."""
    content = copy.deepcopy(content)
    *parents, last = path.split(".")
    inner = content
    for parent in parents:
        inner = inner[parent]
    if value is None:
        inner.pop(last)
    else:
        inner[last] = value
    return content


def test_every_family_is_a_folder():
    assert {"bagel", "omnigen2"} <= set(family_names())
    for name in family_names():
        assert rules_of(name).weights and issubclass(family_of(name).model, UnifiedModel)


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ({"datasets": {**DATASETS, "few": {**DATASETS["test"], "scenes": 5}}}, None, None),
        ({"datasets": {**DATASETS, "test": {**DATASETS["test"], "scenes": 5}}}, "datasets.test",
         "it has 5 samples, benchmark toyworld-gen uses 6"),
        ({"datasets": {**DATASETS, "test": {**DATASETS["test"], "size": 20}}, "models": ["micro-omnigen2"]},
         "datasets.test", "images of 20 pixels, which micro-omnigen2 makes 16 pixels wide; they are scored from 40"),
        ({"datasets": {**DATASETS, "test": COCO}}, "datasets.test", "coco has no questions, which benchmark"),
        ({"datasets": {**DATASETS, "test": TALK}, "benchmarks": ["toyworld-gen"]}, "datasets.test", "no captions"),
        ({"datasets": {**DATASETS, "questions": SAM}}, "data.vqa", "'questions' is sam-sgt, which asks nothing"),
        ({"data": {"proxy": "scenes", "vqa": "questions", "validation": "photos"},
          "datasets": {**DATASETS, "photos": COCO}}, "data.validation", "asks nothing"),
        ({"data": {"proxy": "scenes", "vqa": "questions", "validation": "talk"},
          "datasets": {**DATASETS, "talk": TALK}}, "datasets.talk", "arm 'segmentation' is rendered from annotations"),
        ({"datasets": {**DATASETS, "scenes": SAM}}, "datasets.scenes", "arm 'depth' is rendered from depth.png"),
        ({"proxies": {"segmentation": {"task": "segmentation", "granularity": "panoptic"}}}, "datasets.scenes",
         "arm 'segmentation' is rendered from panoptic.png, and its images ('scenes', toyworld) have none"),
        ({"proxies": {"segmentation": {"task": "segmentation", "granularity": "semantic"}}}, "datasets.scenes",
         "rendered from classes"),
        ({"data": {**DATA, "held_out": "test"}}, None, None),
        ({"data": {**DATA, "held_out": "scenes"}}, "data.held_out", "'scenes' and 'scenes', which arms are trained on"),
        ({"data": {**DATA, "held_out": "few"}, "datasets": {**DATASETS, "few": {**DATASETS["scenes"], "scenes": 5}}},
         "data.held_out", "'few' and 'scenes', which arms are trained on, both have images of toyworld's split proxy"),
        ({"data": {**DATA, "held_out": "few"}, "datasets": {**DATASETS, "few": {**DATASETS["scenes"], "seed": 1}}},
         None, None),
        ({"data": {**DATA, "proxy": "photos", "held_out": "others"},
          "datasets": {**DATASETS, "photos": COCO, "others": {**COCO, "seed": 3}},
          "arms": ["sft", "segmentation"]}, "data.held_out",
         "'others' and 'photos', which arms are trained on, both have images of train2017 of coco-2017"),
        ({"data": {"vqa": "questions", "held_out": "test"}, "arms": ["sft", "e"],
          "variants": {"e": {"proxy": "edge", "images": "test"}}}, "data.held_out", "'test' and 'test', which"),
        ({"data": {**DATA, "held_out": "nowhere"}}, None, "data.held_out: no dataset 'nowhere'"),
        ({"data": {**DATA, "held_out": "photos"}, "datasets": {**DATASETS, "photos": COCO}}, "datasets.photos",
         "arm 'depth' is rendered from depth.png, and data.held_out ('photos', coco) have none"),
        ({"datasets": {**DATASETS, "photos": {**COCO, "maps": ["panoptic"]}}, "data": {**DATA, "proxy": "photos"},
          "arms": ["sft", "panoptic"], "proxies": {"panoptic": {"task": "segmentation", "granularity": "panoptic"}}},
         "data.held_out", "no benchmark's dataset has what every proxy needs"),
        ({"data": {**DATA, "validation": "questions"}}, "data.validation", "'questions' and 'questions', which arms"),
        ({"data": {**DATA, "validation": "questions"}, "arms": ["base"]}, None, None),
        ({"data": {**DATA, "held_out": "one"}, "datasets": {**DATASETS, "one": {**DATASETS["test"], "scenes": 1}}},
         "datasets.one", "it has 1 sample, and proxy arms are checked on 2 or more"),
        ({"recipe": {**RECIPE, "trains": ["generation"]}}, "recipe.trains", "arm 'sft' does not use"),
        ({"recipe": {**RECIPE, "lora": {"rank": 1, "alpha": 1, "parts": ["generation"]}}}, "recipe.lora.parts",
         "train another part too"),
        ({"recipe": {**RECIPE, "trains": ["generation"]}, "arms": ["base"]}, None, None),
        ({"recipe": {**RECIPE, "timestep_shift": "dynamic_v1"}}, "recipe.timestep_shift", "is OmniGen2's"),
        ({"recipe": {**RECIPE, "time_sampling": "stratified_uniform"}}, "recipe.time_sampling", "is OmniGen2's"),
        ({"recipe": {**RECIPE, "compile": True}, "models": ["micro-omnigen2"]}, "recipe.compile", "not compiled"),
        ({"recipe": {**RECIPE, "compile": True}, "models": ["micro"]}, None, None),
        ({"recipes": {"micro-omnigen2": {**RECIPE, "compile": True}}, "models": ["micro", "micro-omnigen2"]},
         "recipes.micro-omnigen2.compile", "not compiled (model micro-omnigen2)"),
        ({"recipes": {"micro-omnigen2": {**RECIPE, "compile": False}}, "recipe": {**RECIPE, "compile": True},
          "models": ["micro", "micro-omnigen2"]}, None, None),
        ({"data": {"vqa": "questions"}}, None, "data.proxy: arm 'segmentation' is rendered from images"),
        ({"data": {"proxy": "scenes"}}, None, "data.vqa: arm 'sft' is trained on questions: name a dataset"),
        ({"data": {"vqa": "questions"}, "arms": ["base", "sft"]}, None, None),
        ({"data": {}, "arms": ["base"]}, None, None),
        ({"data": {"vqa": "questions"}, "arms": ["sft", "e"], "variants": {"e": {"proxy": "edge", "images": "scenes"}}},
         None, None),
        ({"data": {"proxy": "scenes", "vqa": "questions", "max_bad": 1.0}}, "data.max_bad", "less than 1"),
        ({"datasets": {**DATASETS, "c": {"source": "coco", "images": 5001, "split": "val"}}}, "datasets.c.coco",
         "images: val2017 has 5000, not 5001"),
        ({"datasets": {**DATASETS, "a-b": DATASETS["test"], "a_b": DATASETS["test"]}}, None, "differ in - and _ alone"),
        ({"seeds": [2**32]}, "seeds.0", "less than 4294967296"),
        ({"name": "x" * 101}, "name", "at most 100 characters"),
        ({"results": "downloads"}, None, "results and downloads are both"),
    ],
)  # fmt: skip
def test_a_study_whose_parts_do_not_fit(changes, field, said, checked, written):
    path = written(**changes)
    if said is None:
        checked.valid(path)
    else:
        checked.refused(path, f"{STUDY_FILE}: {field}" if field else STUDY_FILE, said)


@pytest.mark.parametrize(
    ("file", "content", "path", "value", "field", "said"),
    [
        (MODEL_FILE, MODEL, "input_image.image_stride", 16, "input_image.image_stride", "16, a patch has 8 pixels"),
        (MODEL_FILE, MODEL, "input_image.max_image_size", 56, "input_image.max_image_size",
         "56 pixels are 7 tokens, the position table has 6"),
        (MODEL_FILE, MODEL, "vqa_input_image", sides(56, 48), "vqa_input_image.max_image_size",
         "56 pixels are 7 tokens"),
        (MODEL_FILE, MODEL, "target_image.image_stride", 12, "target_image.image_stride", "12 is not a multiple of 8"),
        (MODEL_FILE, MODEL, "target_image.max_image_size", 64, "target_image.max_image_size",
         "64 pixels are 8 tokens, the position table has 6"),
        (MODEL_FILE, MODEL, "target_image.image_stride", 16, None, None),
        (MODEL_FILE, MODEL, "target_image.max_pixels", 64, "target_image.max_pixels", "unknown key"),
        (MODEL_FILE, MODEL, "target_image.min_image_size", None, "target_image.min_image_size", "missing; add it"),
        (MODEL_FILE, MODEL, "target_image.min_image_size", 0, "target_image.min_image_size", "greater than or equal"),
        (MODEL_FILE, MODEL, "family", "chameleon", "family", "no family 'chameleon'; use one of bagel, "),
        (MODEL_FILE, MODEL, "architecture.llm.hidden_size", 34, "architecture.llm.hidden_size", "not a multiple of 8"),
        (MODEL_FILE, MODEL, "architecture.llm.hidden_size", "32", "architecture.llm.hidden_size", "no such value as"),
        (MODEL_FILE, MODEL, "architecture.llm.heads", 4, "architecture.llm.heads", "unknown key"),
        (MODEL_FILE, MODEL, "architecture.vae.norm_groups", 3, "architecture.vae.ch", "8 is not a multiple of 3"),
        (MODEL_FILE, MODEL, "architecture.vae", None, None, "pretrain needs architecture.vae"),
        (MODEL_FILE, MODEL, "pretrain.dataset", "photos", "pretrain.dataset", "has no captions and questions"),
        (MODEL_FILE, MODEL, "train", {"gpu": 2}, None, None),
        (OMNIGEN2_FILE, OMNIGEN2, "input_image.image_stride", 16, "input_image.image_stride",
         "a token of the vision tower has 8"),
        (OMNIGEN2_FILE, OMNIGEN2, "input_image.max_pixels", 100, "input_image.min_pixels", "2304 is above max_pixels"),
        (OMNIGEN2_FILE, OMNIGEN2, "target_image.image_stride", 12, "target_image.image_stride", "12 is not a multiple"),
        (OMNIGEN2_FILE, OMNIGEN2, "target_image.max_side_length", 64, "target_image.max_side_length",
         "64 pixels are 8 tokens"),
        (OMNIGEN2_FILE, OMNIGEN2, "vqa_input_image", sides(48), "vqa_input_image", "scales all input images as"),
        (OMNIGEN2_FILE, OMNIGEN2, "architecture.transformer.text_feat_dim", 16,
         "architecture.transformer.text_feat_dim", "16, the width of the language model is 32"),
        (OMNIGEN2_FILE, OMNIGEN2, "architecture.transformer.axes_dim_rope", [4, 4, 2],
         "architecture.transformer.axes_dim_rope", "10, the numbers of a head is 8"),
        (OMNIGEN2_FILE, OMNIGEN2, "architecture.mllm.rope_scaling", {"type": "mrope", "mrope_section": [2, 2, 2]},
         "architecture.mllm.rope_scaling.mrope_section", "6, the pairs of numbers of a head is 4"),
        (OMNIGEN2_FILE, OMNIGEN2, "architecture.mllm.vision_config.depht", 1,
         "architecture.mllm.vision_config.depht", "unknown key"),
        (GENERATION_FILE, GENERATION, "sampling.system", "Think.", "sampling.system", "does not think"),
        (GENERATION_FILE, GENERATION, "sampling.solver", "dpmsolver++", "sampling.solver", "not BAGEL's"),
        (GENERATION_FILE, GENERATION, "sampling.negative_prompt", "blur", "sampling.negative_prompt", "not BAGEL's"),
        (GENERATION_FILE, GENERATION, "sampling.cfg_interval", [0.8, 0.2], "sampling", "0.8 is above 0.2"),
        (GENERATION_FILE, GENERATION, "name", "targets", "name", "is the name of a result of proxy arms"),
        (GENERATION_FILE, GENERATION, "task", "toyworld", "task", "no task 'toyworld'; use one of "),
        (GENERATION_FILE, GENERATION, "task", None, "task", "missing; add it"),
        (GENERATION_FILE, GENERATION, "protocol", "paper", "protocol", "should be 'official'"),
        (GENERATION_FILE, GENERATION, "protocol", {"kind": "generation"}, "protocol", "is now a name: name the task"),
        (GENERATION_FILE, GENERATION, "prompts", 6, "prompts", "is now called samples"),
        (QUESTIONS_FILE, QUESTIONS, "groups", {"seeing": ["texture"]}, "groups", "no kind 'texture': use some of"),
        (QUESTIONS_FILE, QUESTIONS, "groups", {"count": ["parity"]}, "groups", "the name of a kind of question"),
    ],
)  # fmt: skip
def test_a_model_or_benchmark_that_does_not_fit(file, content, path, value, field, said, checked, written):
    study = written(
        models=["micro", "micro-omnigen2"], datasets={**DATASETS, "photos": COCO}, arms=["base", "sft", "edge"]
    )
    checked.valid(study)
    write(file, changed(content, path, value))
    if said is None:
        checked.valid(study)
    elif "processes" in said:
        checked.refused(study, f"{STUDY_FILE}: recipe.batch", said)
    else:
        checked.refused(study, f"{file}: {field}" if field else file, said)


def test_a_vae_is_taken_from_a_model_that_has_one_of_these_sizes(checked, written):
    study = written(models=["micro-omnigen2"])
    pretrain = {**OMNIGEN2["pretrain"], "vae_of": "micro"}
    pretrain.pop("vae_steps")
    write(OMNIGEN2_FILE, {**OMNIGEN2, "pretrain": pretrain})
    checked.valid(study)
    write(MODEL_FILE, changed(MODEL, "architecture.vae.ch", 16))
    checked.refused(study, f"{OMNIGEN2_FILE}: architecture.vae", "micro's VAE, which it takes, has other sizes")
    Path(MODEL_FILE).unlink()
    checked.refused(study, MODEL_FILE, "no such file")
    write(OMNIGEN2_FILE, {**OMNIGEN2, "pretrain": {**pretrain, "vae_of": "micro-omnigen2"}})
    checked.refused(study, OMNIGEN2_FILE, "it has no VAE before it is trained")


def test_target_sides_are_those_of_the_transforms(checked, written):
    load = load_study(written(models=["micro", "micro-omnigen2"]))
    for spec in load.models.values():
        for longest, shortest, stride in ((48, 48, 8), (64, 32, 16), (1000, 40, 24)):
            bounds = {"max_image_size": longest, "min_image_size": shortest, "image_stride": stride}
            if spec.family == "omnigen2":
                bounds = {"max_pixels": longest * shortest, "max_side_length": longest, "image_stride": stride}
            changed = spec.model_copy(update={"target_image": bounds})
            for side in (16, 20, 33, 47, 48, 63, 100, 512):
                want = rules_of(spec.family).target_side(changed, side)
                assert target_transform(changed).size(side, side) == (want, want)


def test_named_sizes_are_identified_as_the_numbers_were():
    """Results made before sizes had names stay current."""
    for content, family, numbers in (
        (
            {**MODEL, "vqa_input_image": sides(56, 48)},
            "bagel",
            ([48, 48, 8], [56, 48, 8], [48, 48, 8]),
        ),
        (OMNIGEN2, "omnigen2", ([2304, 2304, 8], None, [2304, 48, 8])),
    ):
        want = {"family": family, "vit_image": numbers[0], "vqa_image": numbers[1], "vae_image": numbers[2]}
        assert model_identity(Model(**content)) == want
        old = {key: value for key, value in content.items() if not key.endswith("_image")}
        old |= {key: value for key, value in want.items() if isinstance(value, list)}
        assert model_identity(Model(**old)) == want, "files of earlier versions"


def test_scenes_are_read_from_the_size_that_a_study_may_have():
    assert SceneReader(ToyworldGen.Options.smallest_side).self_check().shape >= 0.9
