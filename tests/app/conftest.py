"""What the tests of the app share."""

from pathlib import Path

import pytest
import yaml


@pytest.fixture
def attending(results):
    """A study file with an analysis of attention."""
    path = Path("config/micro.yaml")
    content = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**content, "analyses": [{"analysis": "attend", "dataset": "test", "samples": 2}]}))
    return path
