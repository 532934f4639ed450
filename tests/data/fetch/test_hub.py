"""What ``huggingface_hub`` provides to ``sgt fetch``: Xet storage and the local cache."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from huggingface_hub import constants, hf_hub_download

from tests.data.fetch.conftest import BIG, TOKEN, WANTED, fetched
from tests.data.fetch.hub import COMMIT
from tests.data.fetch.xet import PIECE, hash_of

ROOT = Path(__file__).parents[3]
PATH = "part/train-00001.parquet"


@pytest.fixture
def xet(hub, tmp_path, monkeypatch):
    """The hub, with its large files in Xet storage."""
    hub.xet = {PATH, "part/train-00000.parquet"}
    monkeypatch.setenv("HF_XET_CACHE", str(tmp_path / "xet"))
    return hub


def pieces(hub) -> list[int]:
    """The pieces of the largest file that were requested from Xet storage."""
    address = f"/xorb/{hash_of(BIG)}/"
    return sorted({int(path.removeprefix(address)) for _, path, *_ in hub.seen if path.startswith(address)})


def test_files_in_xet_storage_come_from_there(fetch, folder, xet):
    assert fetch()[0] == 0
    assert fetched(folder) == WANTED
    assert any(path.startswith("/xorb/") for _, path, *_ in xet.seen)
    assert not any(path.startswith("/web/") for _, path, *_ in xet.seen)


def test_the_storage_gets_its_own_token_only(fetch, xet):
    assert fetch()[0] == 0
    tokens = {host: {sent for at, _, _, sent, _ in xet.seen if at == host} for host in ("hub", "cdn")}
    assert tokens["hub"] == {f"Bearer {TOKEN}"} and tokens["cdn"] <= {"Bearer xet-token", None}


def test_without_xet_its_files_come_by_http(fetch, folder, xet, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    assert fetch()[0] == 0
    assert fetched(folder) == WANTED and not any("/xorb/" in path for _, path, *_ in xet.seen)


def test_a_wrong_piece_is_found(fetch, folder, xet):
    xet.faults[PATH] = ["wrong"]
    status, output = fetch()
    assert status == 1 and f"({PATH}): its sha256 is" in output and not (folder / PATH).exists()
    assert fetch()[0] == 0 and fetched(folder) == WANTED


def test_a_refusal_by_the_hub_is_reported_at_once(fetch, xet):
    xet.faults["HEAD"] = [403]
    status, output = fetch("data", "--workers", "1")
    assert status == 1 and "the server answered 403; accept its conditions" in output and "in a row" not in output


def test_a_killed_xet_transfer_is_resumed(table, folder, xet, tmp_path, fetch):
    xet.faults[PATH] = ["slow"]
    command = [sys.executable, "-m", "sgt", "fetch", "data", "--table", str(table()), "--into", str(folder.parent)]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL)
    part = folder / ".fetch" / f"{PATH}.part"
    deadline = time.monotonic() + 60
    while xet.faults[PATH] or not (part.exists() and part.stat().st_size >= PIECE):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    arrived = part.read_bytes()
    assert BIG.startswith(arrived)
    xet.slow.set()
    xet.seen.clear()
    assert fetch()[0] == 0 and fetched(folder) == WANTED
    assert pieces(xet) == list(range(len(arrived) // PIECE, -(-len(BIG) // PIECE)))


def test_files_in_the_local_cache_are_copied(fetch, folder, hub):
    for path in WANTED:
        hf_hub_download("owner/name", path, repo_type="dataset", revision=COMMIT, endpoint=hub.url)
    hub.seen.clear()
    assert fetch()[0] == 0
    assert fetched(folder) == WANTED and not any("/resolve/" in path for _, path, *_ in hub.seen)


def test_a_damaged_file_in_the_local_cache_is_fetched(fetch, folder, hub):
    cached = hf_hub_download("owner/name", PATH, repo_type="dataset", revision=COMMIT, endpoint=hub.url)
    Path(cached).write_bytes(BIG[:-5] + b"xPAR1")
    status, output = fetch()
    assert status == 0 and fetched(folder) == WANTED and "is damaged (its sha256 is" in output
