"""Every command that the documents show is run, dry-run, or read by the parser of what it starts."""

import argparse
import importlib
import re
import shlex
from pathlib import Path

import pytest

from docs.line_references import renewed
from sgt import __version__
from sgt.commands.main import command_module
from tests.workflow.conftest import ROOT, Clone, clone

PAGES = [*sorted(ROOT.glob("*.md")), ROOT / "config/README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
SHELL = {"", "sh", "bash"}
# Run for real by a test that says so in these words.
ELSEWHERE = {
    "dvc repro": "test_dvc.py",
    "dvc push": "test_dvc.py",
    "dvc metrics show": "test_dvc.py",
    "dvc plots show": "test_dvc.py",
    "dvc exp run -S config/tiny.yaml:recipe.optimizer.lr=0.002": "test_dvc.py",
    "dvc exp show": "test_dvc.py",
    "make pull": "test_dvc.py",
    "snakemake --report results/tiny/report/workflow.html": "test_dvc.py",
    "snakemake --cores all --use-conda": "test_conda.py",
    "conda env create -f environment.yml": "test_conda.py",
    "conda activate sgt": "test_conda.py",
}


def commands() -> list[str]:
    """Every command of every page, once, without its remark."""
    found = {}
    for page in PAGES:
        blocks = [text for language, text in BLOCK.findall(page.read_text()) if language in SHELL]
        for line in "\n".join(blocks).replace("\\\n", " ").splitlines():
            command = re.sub(r"\s+#.*", "", line).strip()
            if command:
                found.setdefault(command, page)
    return list(found)


def parse(words: list[str], root: Path = ROOT) -> None:
    """See that a command of sgt takes these arguments, and that the study it names is there."""
    parser = argparse.ArgumentParser()
    command_module(words[0]).configure(parser)
    args = parser.parse_args(words[1:])
    if words[0] == "launch":
        parse(args.words, root)
    elif hasattr(args, "study"):
        assert (root / args.study).exists(), args.study


def after_module(words: list[str]) -> None:
    """A launcher and the command of sgt that it starts."""
    assert words[words.index("-m", 2) + 1 if words[0] == "python" else words.index("-m") + 1] == "sgt"
    parse(words[words.index("sgt") + 1 :])


def python(words: list[str]) -> None:
    if words[1] == "-m" and words[2].startswith("perf."):
        # Every option is read before the help is printed.
        with pytest.raises(SystemExit) as ended:
            importlib.import_module(words[2]).main([*words[3:], "--help"])
        assert ended.value.code == 0
    elif words[1] == "-m":
        after_module(words)
    else:
        compile((ROOT / words[1]).read_text(), words[1], "exec")


def make(words: list[str], here: Clone) -> None:
    """Print what it would run; where that is a study, ask Snakemake what it would do."""
    here.run(shlex.join(["make", "--dry-run", *words[1:]]))
    if words[1] == "study":
        assert "This was a dry-run" in here.run(shlex.join(["make", "dry-run", *words[2:]]))


@pytest.fixture(scope="module")
def here(origin, tmp_path_factory):
    return clone(origin, tmp_path_factory.mktemp("docs") / "sgt")


def test_there_are_commands_to_try():
    assert len(commands()) > 20 and "make study" in commands()


def commands_and_marks() -> list:
    """Each plan of a study takes seconds: those with options are slow tests."""
    return [
        pytest.param(command, marks=[pytest.mark.slow] if command.startswith("make study ") else [])
        for command in commands()
    ]


@pytest.mark.parametrize("command", commands_and_marks())
def test_a_command_of_the_docs_does_what_it_says(command, here):
    if command in ELSEWHERE:
        assert command in Path(__file__).with_name(ELSEWHERE[command]).read_text()
        return
    words = shlex.split(command)
    match words[0]:
        case "sgt":
            parse(words[1:])
        case "make":
            make(words, here)
        case "snakemake":
            assert "This was a dry-run" in here.run(f"{command} --dry-run")
        case "dvc":
            here.run(command)
        case "source":
            assert here.run(f"{command} && sgt --version").strip() == __version__
        case "python":
            python(words)
        case "tar":
            # The scenes of the commands before, as few as the documentation looks at.
            assert "test-000003.jpg" in here.run(
                f"sgt toyworld scenes --split test --scenes 4 && {command} && ls scenes"
            )
        case "accelerate":
            after_module(words)
        case _:
            pytest.fail(f"nobody knows how to try {command!r}: say so here")


def test_links_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_links_to_lines_of_code_lead_to_the_names_they_show(page):
    assert renewed(page) == page.read_text(), "run `python docs/line_references.py`"
