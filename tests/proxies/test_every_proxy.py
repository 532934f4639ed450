"""What holds for every registered proxy: a new file in ``sgt/proxies/tasks`` is tested here without being named."""

import json

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError
from skimage import data as photographs

from sgt.commands.main import main
from sgt.config.datasets import Toyworld
from sgt.data.images import decode_target
from sgt.data.shards import Sample, read_shard
from sgt.data.toyworld.dataset import write_shard
from sgt.proxies import PROXIES
from sgt.proxies.base import LEVELS
from sgt.proxies.render import encode_target
from tests.proxies.samples import complete_sample

PHOTOGRAPHS = {
    name: np.ascontiguousarray(getattr(photographs, name)()[::4, ::4]) for name in ("astronaut", "coffee", "chelsea")
}


@pytest.fixture(scope="module")
def samples() -> dict[str, Sample]:
    return {name: complete_sample(pixels) for name, pixels in PHOTOGRAPHS.items()}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    path = tmp_path_factory.mktemp("scenes") / "shard-00000.tar"
    write_shard(path, Toyworld(source="toyworld", split="test", scenes=5), 0)
    return path


@pytest.mark.parametrize("name", PROXIES)
def test_a_proxy_declares_its_level_prompts_and_options(name):
    proxy = PROXIES[name]
    assert proxy.level in LEVELS and len(set(proxy.prompts)) == len(proxy.prompts) >= 5
    assert proxy.options == proxy.Options(task=name)
    with pytest.raises(ValidationError):
        proxy.Options(task="other")
    json.dumps(proxy.identity)


def test_no_prompt_belongs_to_two_proxies():
    prompts = [prompt for proxy in PROXIES.values() for prompt in proxy.prompts]
    assert len(set(prompts)) == len(prompts)


@pytest.mark.parametrize("name", PROXIES)
@pytest.mark.parametrize("photograph", PHOTOGRAPHS)
def test_targets_have_the_size_of_the_image_and_are_deterministic(name, photograph, samples):
    proxy, pixels, sample = PROXIES[name], PHOTOGRAPHS[photograph], samples[photograph]
    assert proxy.applies_to(sample), "add the member that it needs to complete_sample"
    image = Image.fromarray(pixels)
    target = proxy.render(image, sample)
    content = encode_target(target)
    assert encode_target(proxy.render(image, sample)) == content
    assert [encode_target(each) for each in proxy.render_batch([image, image], [sample, sample])] == [content] * 2
    assert (np.asarray(image) == pixels).all()
    assert target.size == decode_target(content, "target").size == image.size
    assert (target.mode == "P") == proxy.label_like
    assert len(np.unique(np.asarray(target))) > 1
    if not proxy.reads_pixels:
        assert encode_target(proxy.render(Image.new("L", image.size), sample)) == content


@pytest.mark.parametrize("name", PROXIES)
def test_inputs_depend_on_the_image_and_the_generator_alone(name):
    proxy, pixels = PROXIES[name], PHOTOGRAPHS["astronaut"]
    image = Image.fromarray(pixels)
    shown = [np.asarray(proxy.condition(image, np.random.default_rng(1))) for _ in range(2)]
    assert (shown[0] == shown[1]).all()
    assert (np.asarray(image) == pixels).all()
    assert shown[0].shape == pixels.shape and shown[0].dtype == np.uint8
    assert (shown[0] != pixels).any() == proxy.degrades


@pytest.mark.parametrize("name", PROXIES)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 1), (5, 6)])
def test_tiny_images_are_degraded_too(name, size):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8))
    for seed in range(3):
        assert PROXIES[name].condition(image, np.random.default_rng(seed)).size == image.size


@pytest.mark.parametrize("name", PROXIES)
def test_a_proxy_applies_only_to_samples_with_all_that_it_needs(name, samples):
    proxy, sample = PROXIES[name], samples["chelsea"]
    for extension in sample.files:
        files = {other: content for other, content in sample.files.items() if other != extension}
        assert proxy.applies_to(Sample(sample.shard, sample.key, files)) == (extension not in proxy.needs)


@pytest.mark.parametrize("name", PROXIES)
def test_render_keeps_keys_and_order_and_is_the_same_again(name, scenes, tmp_path):
    for folder in ("one", "other"):
        assert main(["render", name, str(scenes), str(tmp_path / folder / "t.tar")]) == 0
    assert (tmp_path / "one" / "t.tar").read_bytes() == (tmp_path / "other" / "t.tar").read_bytes()
    targets = list(read_shard(tmp_path / "one" / "t.tar"))
    assert [target.key for target in targets] == [sample.key for sample in read_shard(scenes)]
    report = json.loads((tmp_path / "one" / "t.json").read_text())
    assert (report["proxy"], report["images"], report["refused"]) == (name, 5, [])
    assert 0 < report["covered"] <= 1
