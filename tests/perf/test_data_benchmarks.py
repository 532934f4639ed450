"""The speed scripts of rendering and streaming run, and the ways that they compare do the same work."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from perf import render, render_proxies, stream


@pytest.fixture
def small(monkeypatch):
    for script in (render, render_proxies):
        monkeypatch.setattr(script, "SIZE", (60, 80))
        monkeypatch.setattr(script, "MASKS", 6)


def test_both_ways_to_render_show_the_same_objects(small):
    sample = render.photograph(60, 80, 6, 0)
    ours, plain = (np.asarray(Image.open(io.BytesIO(way(sample)))) for way in (render.ours, render.painted_one_by_one))
    pairs = {*zip(ours.ravel().tolist(), plain.ravel().tolist(), strict=True)}
    assert len(pairs) == len(np.unique(ours)) == len(np.unique(plain)) > 3 and (0, 0) in pairs


def test_rendering_is_timed(small, capsys):
    render.main(["1", "--ratio"])
    assert re.search(r"^ratio [\d.]+$", capsys.readouterr().out, re.M)
    render_proxies.main(["1"])
    lines = capsys.readouterr().out.splitlines()[1:]
    assert all(re.match(r"[\w-]+: [\d.]+ images/s; decoding [\d.]+ ms, rendering ", line) for line in lines)
    assert {"segmentation", "depth", "edge", "inpainting"} <= {line.split(":")[0] for line in lines}


def test_all_ways_to_stream_read_the_same_bytes(monkeypatch, capsys):
    monkeypatch.setattr(stream, "IMAGE_BYTES", 450)
    monkeypatch.setattr(stream, "RECORD_BYTES", 150)
    stream.main(["3"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and all(re.search(r"ratios [\d.]+, [\d.]+$", line) for line in lines)
