"""The tiny models' first losses are those that were committed: a change of any number in training is seen here."""

import json

import pytest

from tests.training import golden

# Between processors and thread counts they differ by rounding, which Adam's steps carry on.
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder with the data of the curves; it is the working directory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("golden"))
        golden.prepare()
        yield


@pytest.mark.parametrize("model", golden.MODELS)
def test_losses_are_those_that_were_committed(model, prepared):
    expected = json.loads(golden.FILE.read_text())[model]
    assert [len(expected[name]) for name in golden.NUMBERS] == [golden.STEPS] * len(golden.NUMBERS)
    for name, values in golden.curve(model).items():
        assert values == pytest.approx(expected[name], rel=TOLERANCE), f"{name}: renew them with `make golden`"
