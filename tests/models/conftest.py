"""The micro model of every family."""

from pathlib import Path

import pytest

from sgt.models.registry import load_model
from sgt.models.rules import family_names
from sgt.models.unified import UnifiedModel
from sgt.study.load import load_study
from tests.conftest import MICRO

# For a test that reaches into the code of the families whose official numbers are known.
OF_OFFICIAL_CODE = pytest.mark.parametrize("model", ["bagel", "omnigen2"], indirect=True)


@pytest.fixture(params=family_names())
def model(request, study_of) -> UnifiedModel:
    """Pretrained for a few steps; the working directory is a study with it."""
    return load_micro(request.param, study_of(request.param))


def load_micro(family: str, study: Path) -> UnifiedModel:
    """The base weights of a family's micro model."""
    spec = load_study(study).models[MICRO[family]["name"]]
    return load_model(spec, Path(spec.checkpoint))
