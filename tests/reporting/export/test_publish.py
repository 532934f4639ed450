"""Publishing: nothing without ``--upload``, everything that was exported in one commit with it, no token anywhere."""

import logging
from pathlib import Path

import pytest
from huggingface_hub import constants

from sgt.commands.main import main
from sgt.data.fetch import retry
from tests.reporting.export.hub import LARGE, TOKEN, UploadHub

TO = "owner/name"
# Of huggingface_hub's own call of httpx2.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    server = UploadHub()
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("HF_XET_CACHE", str(tmp_path / "xet"))
    # As the fake storage reads xorbs.
    monkeypatch.setenv("HF_XET_XORB_COMPRESSION_POLICY", "none")
    # No other token of this machine.
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    # Waits between tries are cut short.
    monkeypatch.setattr(retry, "LONGEST_WAIT", 0.01)
    yield server
    server.close()


@pytest.fixture(params=["xet", "lfs"])
def storage(request, monkeypatch) -> str:
    """How large files are sent."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", request.param == "lfs")
    return request.param


@pytest.fixture
def publish(hub, capfd, caplog):
    """Run the command on the folder ``release``; returns its status and everything that it wrote."""
    caplog.set_level(logging.INFO)

    def run(*words: str, to: str = TO) -> tuple[int, str]:
        status = main(["publish", "release", "--to", to, *words])
        captured, logged = capfd.readouterr(), caplog.text
        caplog.clear()
        for text in (captured.out, captured.err, logged):
            assert TOKEN not in text and "SIGNED" not in text
        return status, captured.out + captured.err + logged

    return run


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_without_upload_nothing_is_sent(release, publish, hub):
    status, output = publish()
    assert status == 0 and hub.seen == []
    for name, content in contents(release).items():
        assert f"{len(content):,}  {name}\n" in output
    assert "warning: this run did not learn its proxy" in output and "nothing was uploaded: add --upload" in output


def test_everything_is_uploaded_in_one_commit(release, publish, hub, storage):
    status, output = publish("--upload")
    assert status == 0 and f"{hub.url}/{TO}/commit/" in output
    assert hub.repositories[TO] == contents(release) and not hub.private
    assert len(hub.commits) == 1 and hub.commits[0][0] == "Upload micro-segmentation-seed0"
    large = [content for content in contents(release).values() if len(content) >= LARGE]
    assert len(large) > 2
    # Large files went to the storage before.
    paths = [path for host, _, path, _ in hub.seen if host == "storage"]
    assert any(path.startswith({"lfs": "/lfs/", "xet": "/v1/xorbs/"}[storage]) for path in paths)


def test_the_token_goes_to_the_hub_alone(release, publish, hub, storage):
    publish("--upload")
    sent = {host: {token for at, _, _, token in hub.seen if at == host} for host in ("hub", "storage")}
    assert sent["hub"] <= {f"Bearer {TOKEN}", None} and f"Bearer {TOKEN}" in sent["hub"]
    assert sent["storage"] <= {"Bearer xet-token", None}


def test_a_second_upload_changes_what_changed(release, publish, hub):
    publish("--upload")
    assert publish("--upload")[0] == 0 and len(hub.commits) == 1
    card = release / "README.md"
    card.write_text(card.read_text() + "\nIn other words.\n")
    assert publish("--upload")[0] == 0
    assert hub.commits[1][1] == ["README.md"] and hub.repositories[TO] == contents(release)


def test_a_private_repository_is_created_private(release, publish, hub):
    publish("--upload", "--private")
    assert hub.private == {TO}


@pytest.mark.parametrize(
    "request_",
    ["create", "put", *(pytest.param(name, marks=pytest.mark.slow) for name in ("preupload", "batch", "commit"))],
)
def test_a_busy_hub_is_tried_again(request_, release, publish, hub, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    hub.faults[request_] = [503]
    assert publish("--upload")[0] == 0
    assert hub.repositories[TO] == contents(release) and len(hub.commits) == 1


@pytest.mark.parametrize("request_", ["create", "preupload", "batch", "put", "commit", "xet"])
def test_a_refusal_is_one_line_and_changes_nothing(request_, release, publish, hub, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", request_ != "xet")
    hub.faults[request_] = [403] * 9
    status, output = publish("--upload")
    (line,) = (line for line in output.splitlines() if "error:" in line)
    assert status == 1 and "owner/name: the hub answered 403" in line and "use a token that may write" in line
    assert hub.commits == [] and "Traceback" not in output


def test_a_card_that_the_hub_does_not_take_is_refused(release, publish, hub):
    card = release / "README.md"
    card.write_text("no tags")
    status, output = publish("--upload")
    assert status == 1 and "Invalid metadata in README.md. - no tags" in output and hub.commits == []


def test_without_a_token_nothing_is_sent(release, publish, hub, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    status, output = publish("--upload")
    assert status == 1 and "there is no token for the hub; log in with `hf auth login`" in output
    assert hub.seen == []


@pytest.mark.parametrize("to", ["name", "owner/name/more", "https://hub/owner/name", "owner/na me", "owner/na--me"])
def test_a_repository_has_an_owner_and_a_name(to, release, publish):
    status, output = publish(to=to)
    (line,) = (line for line in output.splitlines() if "error:" in line)
    assert status == 1 and "--to: " in line and to in line


def test_a_file_that_is_not_as_it_was_exported_is_refused(release, publish, hub):
    path = release / "evidence/run.json"
    path.write_bytes(path.read_bytes() + b" ")
    status, output = publish("--upload")
    assert status == 1 and f"{path}: is not as it was exported" in output and hub.seen == []


def test_files_of_others_are_not_uploaded(release, publish, hub):
    (release / "notes.txt").write_text("mine")
    status, output = publish("--upload")
    assert status == 0 and "notes.txt: not exported, so it is not uploaded" in output
    assert "notes.txt" not in hub.repositories[TO]


def test_a_folder_that_was_not_exported_is_refused(tmp_path, publish, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("release").mkdir()
    status, output = publish()
    assert status == 1 and "release: has no release.json; export a run with `sgt export`" in output
