"""Every command shows an example, which its parser takes and whose names are those of the files in this repository."""

import argparse
import shlex
import subprocess
from pathlib import Path

import pytest

from sgt.commands.main import COMMANDS, main, make_parser
from sgt.study.load import load_study

ROOT = Path(__file__).parents[1]


def parsed(words: list[str]) -> argparse.Namespace:
    """The arguments of an example; where its output goes is not the parser's."""
    words = words[: words.index(">")] if ">" in words else words
    assert words[0] == "sgt" and words[1] in COMMANDS
    return make_parser(words[1]).parse_args(words[1:])


@pytest.mark.parametrize("name", COMMANDS)
def test_help_ends_with_an_example(name, capsys):
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.endswith(f"\nexample:\n  {COMMANDS[name][1]}\n")


@pytest.mark.parametrize("name", COMMANDS)
def test_an_example_names_what_is_there(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    args = parsed(shlex.split(COMMANDS[name][1]))
    assert args.command == name
    if name == "launch":
        args = parsed(["sgt", *args.words])
    if "study" in args:
        study, given = load_study(args.study), vars(args)
        assert given.get("model") in (None, *study.models)
        assert given.get("arm") in (None, *study.study.arms, *study.study.transplants)
        assert given.get("seed") in (None, *study.study.seeds)
        assert given.get("benchmark") in (None, *study.benchmarks)
        assert given.get("dataset") in (None, *study.study.datasets)


def test_make_help_lists_every_target_with_an_example():
    makefile = (ROOT / "Makefile").read_text()
    (phony,) = (line for line in makefile.splitlines() if line.startswith(".PHONY:"))
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    listed = [line.split()[0] for line in shown.splitlines() if line[:1].isalpha()]
    assert set(listed) >= set(phony.split()[1:]) - {"own-packages"}
    assert "make study STUDY=config/tiny.yaml CORES=8" in shown
