"""Flow errors of single examples at one time are those of the loss, whatever else is in the batch."""

from pathlib import Path

import pytest
import torch

from sgt.data.dataset import open_dataset
from sgt.data.images import image_of
from sgt.models.examples import Example, InputImage, TargetImage, Text
from sgt.models.registry import load_model
from sgt.study.load import load_model_spec

TIME, SEEDS = 0.82, [7, 11, 13, 17]
SIZES = [(48, 48), (32, 48), (48, 48), (48, 24)]


def some_examples() -> list[Example]:
    """Of targets of several sizes, and prompts of several lengths."""
    dataset = open_dataset(Path("results/shards/test"))
    images = [image_of(dataset[place]) for place in range(len(SIZES))]
    return [
        [InputImage(image), Text(" ".join(["draw the picture"] * (place + 1))), TargetImage(image.resize(size))]
        for place, (image, size) in enumerate(zip(images, SIZES, strict=True))
    ]


@pytest.fixture(params=["micro", "micro-omnigen2"])
def model(request):
    """A model of each family whose every weight matters, in the working directory of its study."""
    request.getfixturevalue("study_omnigen2" if "omnigen2" in request.param else "study")
    spec = load_model_spec(request.param)
    loaded = load_model(spec, Path(spec.checkpoint))
    draws = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in loaded.network.parameters():
            if parameter.requires_grad:
                # The layers that predict the velocity are zero before training.
                parameter += 0.05 * torch.randn(parameter.shape, generator=draws)
    loaded.network.eval()
    return loaded


def drawn_time(batch) -> float:
    """The time of a batch's only target, before any shift."""
    if hasattr(batch, "times"):
        return 1 - batch.times.item()
    return batch.packed_timesteps[0].sigmoid().item()


def test_they_are_the_loss_at_that_time_and_depend_on_no_neighbour(model):
    examples = some_examples()
    found = model.velocity_errors(examples, SEEDS, TIME)
    assert found.dtype == torch.float32 and not found.requires_grad and len(set(found.tolist())) == len(examples)
    for example, seed, error in zip(examples, SEEDS, found.tolist(), strict=True):
        batch = model.batch([example], [seed])
        drawn = drawn_time(batch)
        # The shift that moves the time that was drawn to the time of the test.
        shift = TIME * (1 - drawn) / (drawn * (1 - TIME))
        losses = model.loss(batch, shift)
        assert error == pytest.approx(losses.mse.item() / batch.mse_tokens, rel=1e-5)
        assert model.velocity_errors([example], [seed], TIME).item() == pytest.approx(error, rel=1e-5)


def test_they_depend_on_image_prompt_noise_and_time(model):
    example, other = some_examples()[:2]
    (image, prompt, target), seed = example, SEEDS[0]

    def error(example: Example, seed: int = seed, time: float = TIME) -> float:
        return model.velocity_errors([example], [seed], time).item()

    same = error(example)
    changed = [
        error([other[0], prompt, target]),
        error([image, other[1], target]),
        error([image, prompt, other[2]]),
        error(example, seed + 1),
        error(example, time=0.5),
    ]
    assert error(example) == same and all(abs(value - same) > 1e-4 * same for value in changed)


def test_they_draw_no_random_number_of_the_process(model):
    before = torch.get_rng_state()
    model.velocity_errors(some_examples(), SEEDS, TIME)
    assert torch.equal(torch.get_rng_state(), before)
