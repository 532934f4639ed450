"""Base weights by content, one model at a time, without git: from a folder beside the project or over the network."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sgt.commands.main import main
from sgt.errors import SgtError
from sgt.study.base_weights import fetch_base, model_files, stale_files, versioned_files

FILES = {"base/one/weights": "one", "base/one/sub/config": "{}", "base/two/weights": "two"}
ONE, TWO = Path("data/base/one"), Path("data/base/two")


def dvc(*words: str) -> None:
    """Run DVC; as in the archive of a release, the configuration that stays does not say that there is no git."""
    Path(".dvc/config.local").write_text("[core]\nno_scm = true\n")
    subprocess.run([sys.executable, "-m", "dvc", *words, "--quiet"], check=True)
    Path(".dvc/config.local").unlink()


def version(files: dict[str, str]) -> None:
    """Make these what ``data.dvc`` names, and leave them in the remote alone."""
    for name, content in files.items():
        Path("data", name).parent.mkdir(parents=True, exist_ok=True)
        Path("data", name).write_text(content)
    dvc("add", "data")
    dvc("push")
    shutil.rmtree(".dvc/cache")


@pytest.fixture(scope="module")
def versioned(tmp_path_factory) -> Path:
    """A folder without git in which two models are versioned, without their weights."""
    folder = tmp_path_factory.mktemp("versioned")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("GIT_CEILING_DIRECTORIES", str(folder.parent))
        Path(".dvc").mkdir()
        point_at("../store")
        version(FILES)
        shutil.rmtree("data")
    return folder


@pytest.fixture
def project(versioned, tmp_path, monkeypatch) -> Path:
    """A copy of that folder, which is the working directory."""
    shutil.copytree(versioned, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    return tmp_path


def point_at(url: str) -> None:
    Path(".dvc/config").write_text(f"[core]\nremote = store\nanalytics = false\n['remote \"store\"']\nurl = {url}\n")


def stored(path: str) -> Path:
    """The object in the remote that holds a file."""
    md5 = versioned_files()[Path(path)]
    return Path("store/files/md5", md5[:2], md5[2:])


def refused(*words: str) -> str:
    with pytest.raises(SgtError) as raised:
        fetch_base(*words)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_every_file_that_data_dvc_names_is_known_by_its_content(project):
    assert set(versioned_files()) == {Path("data", name) for name in FILES}
    assert set(model_files(TWO)) == {TWO / "weights"}
    Path("data.dvc").unlink()
    assert versioned_files() == {}


def test_one_model_is_made_without_git_and_the_other_left_alone(project):
    umask = os.umask(0o027)
    try:
        assert main(["base", str(ONE)]) == 0
    finally:
        os.umask(umask)
    assert (ONE / "weights").read_text() == "one" and (ONE / "sub/config").read_text() == "{}"
    assert (ONE / "weights").stat().st_mode & 0o777 == 0o640
    assert not TWO.exists() and not stale_files(ONE) and set(stale_files(TWO)) == {TWO / "weights"}


def test_new_weights_replace_the_old_ones_of_their_model_alone(project, caplog):
    fetch_base(ONE)
    fetch_base(TWO)
    shutil.copytree("data", "before", copy_function=shutil.copy2)
    version({"base/one/weights": "new"})
    shutil.rmtree("data")
    shutil.move("before", "data")
    written = (ONE / "sub/config").stat().st_mtime_ns
    assert set(stale_files(ONE)) == {ONE / "weights"} and not stale_files(TWO)
    with caplog.at_level("INFO"):
        assert fetch_base(ONE) == [ONE / "weights"] and fetch_base(TWO) == []
    assert (ONE / "weights").read_text() == "new" and "data/base/one/weights: its content is not" in caplog.text
    assert (ONE / "sub/config").stat().st_mtime_ns == written and fetch_base(ONE) == []


def test_a_damaged_object_is_named_and_what_is_on_the_disk_stays(project):
    fetch_base(ONE)
    shutil.rmtree(".dvc/cache")
    (ONE / "weights").write_text("changed")
    stored("data/base/one/weights").chmod(0o644)
    stored("data/base/one/weights").write_text("torn")
    said = refused(ONE)
    assert "data.dvc: " in said and str(stored("data/base/one/weights")) in said and "damaged" in said
    assert (ONE / "weights").read_text() == "changed" and not list(ONE.glob(".*"))


def test_a_missing_object_is_named(project, capsys):
    md5 = versioned_files()[ONE / "weights"]
    stored("data/base/one/weights").unlink()
    assert main(["base", str(ONE)]) == 1
    assert f"data.dvc: cannot get {md5}, which it names: neither in" in capsys.readouterr().err
    shutil.rmtree("store")
    assert ".dir, which it names: neither in" in refused(ONE)


def test_a_whole_object_in_the_remote_makes_up_for_a_damaged_one_in_the_cache(project):
    dvc("fetch")
    for path in Path(".dvc/cache/files/md5").glob("*/*"):
        path.chmod(0o644)
        path.write_text("torn")
    fetch_base(ONE)
    assert (ONE / "weights").read_text() == "one"


def test_another_default_remote_does_not_hide_the_projects_own(project):
    config = Path(".dvc/config").read_text().replace("remote = store", "remote = mine")
    Path(".dvc/config").write_text(f"{config}['remote \"mine\"']\nurl = ../mine\n")
    fetch_base(ONE)
    assert (ONE / "weights").read_text() == "one"


def test_what_is_no_project_of_dvc_or_names_nothing_is_told(project, capsys):
    assert main(["base", "data/base/three"]) == 1
    assert "data.dvc: names no files in data/base/three; " in capsys.readouterr().err
    data = Path("data.dvc").read_text()
    for damaged in ("<<<<<<< HEAD\n", "outs: 3\n", "outs: [{path: data}]\n", "a: [\n"):
        Path("data.dvc").write_text(damaged)
        assert "data.dvc: not a file that `dvc add` wrote" in refused(ONE)
    Path("data.dvc").write_text(data)
    config = Path(".dvc/config").read_text()
    Path(".dvc/config").write_text("[core\n")
    assert ".dvc/config: DVC cannot use it (" in refused(ONE)
    Path(".dvc/config").write_text(config)
    Path(".dvc").rename("hidden")
    assert refused(ONE) == ".dvc: no such folder; copy or unpack the project with its hidden folders"


@pytest.mark.parametrize("name", ["../outside", "/etc/outside"])
def test_a_list_that_leads_elsewhere_is_refused(project, name):
    listed = json.dumps([{"md5": "0" * 32, "relpath": name}]).encode()
    md5 = hashlib.md5(listed).hexdigest()
    Path("store/files/md5", md5[:2]).mkdir(exist_ok=True)
    Path("store/files/md5", md5[:2], f"{md5[2:]}.dir").write_bytes(listed)
    Path("data.dvc").write_text(f"outs:\n- {{md5: {md5}.dir, path: data, hash: md5}}\n")
    assert "names a file outside its folder" in refused(ONE)


def test_a_remote_on_the_network_is_read_and_its_list_kept(project):
    serve = partial(SimpleHTTPRequestHandler, directory=str(project / "store"))
    with ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        point_at(f"http://127.0.0.1:{server.server_port}")
        fetch_base(ONE)
        assert (ONE / "weights").read_text() == "one"
        server.shutdown()
    assert not stale_files(ONE)
    assert "data.dvc: cannot get " in refused(TWO)
