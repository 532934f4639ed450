"""The site of the documentation: complete, from the code as it is, and readable without a network."""

import html
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sgt.commands.main import COMMANDS
from tests.conftest import sgt

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def text(page: Path) -> str:
    """What a reader sees of a page, its white space as single spaces."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", page.read_text())).split())


def test_the_front_page_is_the_readme(site):
    first, *_ = re.findall(r"^[A-Z].*?[?.]$", (ROOT / "README.md").read_text(), re.M)
    assert first in text(site / "index.html")


def test_every_command_has_its_help_with_an_example(site):
    page = text(site / "reference/command-line.html")
    for name, (summary, example) in COMMANDS.items():
        assert f"usage: sgt {name} " in page and summary in page and f"example: {example}" in page


def test_every_field_of_a_study_has_its_description(site, capsys):
    page = (site / "reference/fields.html").read_text()
    seen = text(site / "reference/fields.html")
    capsys.readouterr()
    sgt("schema")
    schema = json.loads(capsys.readouterr().out)
    fields = [item for model in (schema, *schema["$defs"].values()) for item in model["properties"].items()]
    assert len(fields) > 100
    for name, field in fields:
        assert f"<code>{name}</code>" in page
        assert " ".join(field.get("description", "").replace("`", "").split()) in seen.replace("`", "")


def test_pages_load_nothing_from_elsewhere(site):
    pages = [*site.rglob("*.html"), *site.rglob("*.css")]
    loaded = re.compile(
        r"<(?:script|img|iframe)[^>]*src=\W?(?:https?:)?//|<link[^>]*href=\W?(?:https?:)?//|url\(\W?(?:https?:)?//"
    )
    assert len(pages) > 15 and not [page for page in pages if loaded.search(page.read_text())]
