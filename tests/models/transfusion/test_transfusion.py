"""A family is one folder: one that only this test puts beside the others passes the tests of every family."""

# ruff: noqa: F401 (the imported tests are collected here, and use the fixtures of this module)
import re
import sys
from pathlib import Path

import pytest

import sgt.models
from sgt.config.recipe import Recipe
from sgt.errors import SgtError
from sgt.models.family import family_of
from sgt.models.registry import sizes_of
from sgt.models.rules import family_names, rules_of
from sgt.models.sizes import Tokens, forward_flops
from sgt.study.load import load_study
from tests.models.conftest import load_micro
from tests.models.test_batching import test_results_do_not_depend_on_the_batch_size
from tests.models.test_capture import (
    test_capturing_changes_nothing_and_needs_no_neighbours,
    test_what_cannot_be_captured_is_one_line,
)
from tests.models.test_edges import (
    test_an_outline_stands_for_an_image_where_only_its_size_is_read,
    test_markers_in_what_is_asked_and_drawn_do_no_harm,
    test_nothing_gives_nothing,
)
from tests.models.test_requests import (
    test_every_part_of_a_request_and_its_order_matters,
    test_images_depend_on_the_content_of_their_own_request,
    test_likelihoods_are_those_of_separate_calls,
    test_one_call_answers_as_separate_calls_do,
    test_questions_about_an_image_do_not_see_one_another,
    test_the_likelihood_of_an_answer_is_its_training_loss,
)
from tests.training.test_every_family import (
    Family,
    test_parts_are_frozen_and_recomputed_activations_give_the_same_weights,
    test_the_velocity_target_is_that_of_the_rendered_target,
    test_trained_arms_answer_and_draw_and_resume_bit_by_bit,
)

TESTS = Path(__file__).parents[2]


@pytest.fixture(scope="module", autouse=True)
def installed():
    """The folder's place is beside those of the other families."""
    assert "transfusion" not in family_names()
    sgt.models.__path__.append(str(TESTS / "families"))
    yield
    sgt.models.__path__.remove(str(TESTS / "families"))
    for cached in (rules_of, family_of):
        cached.cache_clear()
    for name in [name for name in sys.modules if name.startswith("sgt.models.transfusion")]:
        del sys.modules[name]


@pytest.fixture
def model(study_of):
    return load_micro("transfusion", study_of("transfusion"))


@pytest.fixture
def family(study_of):
    study_of("transfusion")
    return Family("transfusion")


def test_its_rules_refuse_what_it_does_not_have(family):
    spec, rules = load_study("config/micro.yaml").models[family.model], rules_of("transfusion")
    with pytest.raises(SgtError, match="compile: a Transfusion is not compiled"):
        rules.check_recipe(Recipe(steps=1, batch=3, compile=True))
    scale = {"max_side": 64, "image_stride": 8}
    with pytest.raises(SgtError, match=r"target_image\.max_side: 64, the model has 6 tokens per side; use at most 48"):
        rules.check_model(spec.model_copy(update={"target_image": scale}))


def test_the_layers_count_for_every_token(family):
    sizes = sizes_of(load_study("config/micro.yaml").models[family.model])
    none = dict.fromkeys(("text", "input_image", "supervised", "pairs", "vision_pairs"), 0)
    passed = sizes.parameters["understanding"] + sizes.parameters["generation"]
    assert forward_flops(sizes, Tokens(target_image=10, **none)) == 2 * 10 * passed


def test_nothing_outside_its_folder_names_a_family():
    package = TESTS.parent / "sgt"
    for name in family_names():
        folder = package / "models" / name
        modules = [path for path in package.rglob("*.py") if not path.is_relative_to(folder)]
        naming = re.compile(rf"sgt\.models(\.| import ){name}\b")
        assert len(modules) > 100 and not [path for path in modules if naming.search(path.read_text())]
