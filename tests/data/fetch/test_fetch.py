"""``sgt fetch`` against a hub on this machine that drops connections, is busy, and serves wrong files."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
from huggingface_hub import constants

from sgt.commands.main import main
from sgt.config.downloads import DOWNLOADS_FILE, Downloads
from sgt.data.fetch import lock
from sgt.study.load import read_yaml
from tests.data.fetch.conftest import BIG, FILES, TOKEN, WANTED, fetched
from tests.data.fetch.hub import COMMIT

ROOT = Path(__file__).parents[3]


def test_files_are_complete_at_one_revision_and_recorded(fetch, folder, hub):
    assert fetch()[0] == 0
    assert fetched(folder) == WANTED
    record = json.loads((folder / "fetched.json").read_text())
    assert record["revision"] == COMMIT and record["repository"] == "owner/name"
    assert record["files"]["part/train-00001.parquet"] == {"size": len(BIG), "sha256": hashlib.sha256(BIG).hexdigest()}
    assert not list(folder.glob(".fetch/**/*.part*"))
    assert all(f"/resolve/{COMMIT}/" in path for _, path, *_ in hub.seen if "/resolve/" in path)


def test_the_token_goes_to_the_hub_and_to_no_other_host(fetch, hub):
    assert fetch()[0] == 0
    tokens = {host: {authorization for at, _, _, authorization, _ in hub.seen if at == host} for host in ("hub", "cdn")}
    assert tokens == {"hub": {f"Bearer {TOKEN}"}, "cdn": {None}}


def test_a_second_call_fetches_nothing_and_offline_no_server_is_contacted(fetch, folder, hub, monkeypatch):
    assert fetch()[0] == 0
    hub.seen.clear()
    assert fetch()[0] == 0
    assert all(path.startswith("/api/") for _, path, *_ in hub.seen)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.seen.clear()
    assert fetch()[0] == 0 and fetch("data", "--verify")[0] == 0 and not hub.seen
    (folder / "README.md").unlink()
    status, output = fetch()
    assert status == 1 and "README.md: is missing, and HF_HUB_OFFLINE is set; unset it once" in output
    status, output = fetch("web")
    assert status == 1 and "was never fetched" in output


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"files": ["README.md", "part/*", "other/*"]}, "no file matches 'other/*'"),
        ({"revision": "0" * 40}, f"lock.json has revision {COMMIT}, the table {'0' * 40}"),
        ({"sha256": {"README.md": "0" * 64}}, f"expected {'0' * 64} now"),
    ],
)
def test_what_the_table_asks_for_since_then_is_not_there_offline(changes, said, fetch, folder, monkeypatch):
    assert fetch()[0] == 0
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    record = (folder / "fetched.json").read_text()
    status, output = fetch("data", **changes)
    assert status == 1 and said in output
    assert (folder / "fetched.json").read_text() == record
    assert fetch()[0] == 0


def test_an_address_added_to_the_table_is_not_there_offline(fetch, hub, monkeypatch):
    assert fetch("web")[0] == 0
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    status, output = fetch(
        "web", web={"files": [{"url": f"{hub.url}/web/{name}"} for name in ("other/skip.bin", "README.md")]}
    )
    assert status == 1 and "web/README.md: was never fetched, and HF_HUB_OFFLINE is set" in output


def test_files_of_another_revision_are_not_adopted_as_that_of_the_table(fetch):
    assert fetch()[0] == 0
    status, output = fetch("data", "--adopt", revision="0" * 40)
    assert status == 1 and f"lock.json has revision {COMMIT}, the table {'0' * 40}" in output


def test_a_broken_connection_is_resumed(fetch, folder, hub):
    hub.faults["part/train-00001.parquet"] = ["drop:1000000", "drop:500000", "drop:0"]
    assert fetch()[0] == 0
    assert fetched(folder) == WANTED
    ranges = [requested for host, path, requested, _, _ in hub.seen if host == "cdn" and "00001.parquet" in path]
    starts = [0 if each is None else int(each.removeprefix("bytes=").removesuffix("-")) for each in ranges]
    assert len(starts) == 4 and starts[0] == 0 and starts == sorted(starts) and 0 < starts[1] <= 1_000_000 <= starts[2]


@pytest.mark.parametrize("status", [429, 503, 500])
def test_requests_to_a_busy_server_are_repeated(status, fetch, folder, hub):
    hub.faults["api"] = [status]
    for path in WANTED:
        hub.faults[path] = [status] * 3
    assert fetch()[0] == 0
    assert fetched(folder) == WANTED


def test_a_server_that_stays_busy_ends_the_fetch_and_a_later_one_resumes(fetch, folder, hub, monkeypatch):
    hub.faults["part/train-00001.parquet"] = ["drop:700000", *[503] * 50]
    status, output = fetch()
    assert status == 1 and "the server answered 503, 8 times in a row; run the command again later" in output
    assert not (folder / "fetched.json").exists() and not (folder / "part/train-00001.parquet").exists()
    hub.faults.clear()
    hub.seen.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    status, output = fetch()
    assert status == 1 and "train-00001.parquet: is missing, and HF_HUB_OFFLINE is set" in output
    assert not (folder / "fetched.json").exists() and not hub.seen
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    assert fetch()[0] == 0
    assert fetched(folder) == WANTED
    (requested,) = [requested for host, _, requested, _, _ in hub.seen if host == "cdn"]
    assert requested and int(requested.removeprefix("bytes=").removesuffix("-")) > 0


@pytest.mark.parametrize(
    ("status", "remedy"), [(401, "set HF_TOKEN"), (403, "accept its conditions"), (404, "check the name")]
)
def test_a_refusal_is_reported_at_once_in_one_line(status, remedy, fetch, hub):
    hub.faults["README.md"] = [status]
    code, output = fetch()
    (line,) = [line for line in output.splitlines() if ": error: " in line]
    assert code == 1 and f"the server answered {status}; {remedy}" in line
    assert sum(path.endswith("README.md") for _, path, *_ in hub.seen) == 1


@pytest.mark.parametrize("path", ["README.md", "part/train-00000.parquet"])
def test_a_wrong_file_never_gets_its_name(path, fetch, folder, hub):
    hub.faults[path] = ["wrong"]
    status, output = fetch()
    assert status == 1 and f"({path}): its " in output and "do not use the file" in output
    assert not (folder / path).exists() and not (folder / "fetched.json").exists()
    assert fetch()[0] == 0 and fetched(folder) == WANTED


def test_a_server_that_ignores_ranges_starts_over(fetch, folder, hub):
    hub.faults["part/train-00001.parquet"] = ["drop:1000000", "ignore-range"]
    assert fetch()[0] == 0
    assert fetched(folder) == WANTED


def test_a_server_that_cannot_resume_and_always_breaks_off_ends_the_fetch(fetch, hub):
    hub.ranges = False
    hub.faults["other/skip.bin"] = ["drop:3000"] * 40
    status, output = fetch("web")
    assert status == 1 and "8 times in a row" in output
    # A HEAD request for the size, and eight transfers.
    assert sum(path.endswith("skip.bin") and status == 200 for _, path, *_, status in hub.seen) == 9
    hub.faults["other/skip.bin"] = ["drop:1000", "drop:2000"]
    assert fetch("web")[0] == 0


def test_the_record_of_many_files_is_written_far_less_often_than_they_arrive(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(lock, "write_json", lambda path, content: written.append(len(content["files"])))
    record = lock.Lock(tmp_path)
    for number in range(2000):
        record.add(f"images/{number}.jpg", 1, "0" * 64)
    assert written[:99] == list(range(1, 100)) and len(written) < 500
    assert all(later - earlier <= 1 + later / 100 for earlier, later in pairwise(written))


def test_a_part_longer_than_the_file_is_discarded(fetch, folder, hub):
    part = folder / ".fetch/part/train-00001.parquet.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(BIG + b"more")
    part.with_name(f"{part.name}.version").write_text(f"sha256:{hashlib.sha256(BIG).hexdigest()}")
    assert fetch()[0] == 0
    assert fetched(folder) == WANTED and 416 in {status for *_, status in hub.seen}


def test_a_part_of_unknown_version_is_not_resumed(fetch, folder, hub):
    part = folder / ".fetch/part/train-00001.parquet.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"something else")
    assert fetch()[0] == 0
    assert fetched(folder) == WANTED


def test_a_file_that_changed_meanwhile_is_fetched_from_the_beginning(fetch, folder, hub):
    hub.faults["other/skip.bin"] = ["drop:3000", *[503] * 50]
    assert fetch("web")[0] == 1
    hub.files["other/skip.bin"] = b"y" * 5000
    hub.faults.clear()
    assert fetch("web")[0] == 0
    assert (folder.parent / "web/skip.bin").read_bytes() == b"y" * 5000


def test_a_later_fetch_must_match_the_first(fetch, folder, hub):
    assert fetch("web")[0] == 0
    target = folder.parent / "web/skip.bin"
    target.unlink()
    hub.files["other/skip.bin"] = b"y" * 5000
    status, output = fetch("web")
    assert status == 1 and "its sha256 is" in output and not target.exists()
    hub.files["other/skip.bin"] = FILES["other/skip.bin"]
    assert fetch("web")[0] == 0 and target.read_bytes() == FILES["other/skip.bin"]


def test_a_branch_that_moves_is_not_followed(fetch, folder, hub):
    assert fetch()[0] == 0
    (folder / "README.md").unlink()
    hub.commit = "d" * 40
    hub.seen.clear()
    assert fetch()[0] == 0
    assert all(COMMIT in path for _, path, *_ in hub.seen)
    status, output = fetch(revision="e" * 40)
    assert status == 1 and "lock.json has revision" in output and "move the folder away" in output


def test_digests_of_the_table_override_the_hubs(fetch, hub):
    status, output = fetch(sha256={"part/train-00001.parquet": "0" * 64})
    assert status == 1 and "the hub lists sha256" in output and "the table " + "0" * 64 in output
    web = {"files": [{"url": f"{hub.url}/web/other/skip.bin", "md5": "0" * 32}]}
    status, output = fetch("web", web=web)
    assert status == 1 and "its md5 is" in output


def test_a_file_that_was_changed_on_disk_is_found_by_verify(fetch, folder):
    assert fetch()[0] == 0
    path = folder / "part/train-00000.parquet"
    path.write_bytes(b"PAR1" + bytes(len(path.read_bytes()) - 4))
    assert fetch()[0] == 0
    status, output = fetch("data", "--verify")
    assert status == 1 and "its sha256 is" in output


@pytest.mark.parametrize(
    "path", ["../escape", "/etc/escape", "a/../../escape", "a//b", "a\\b", ".fetch/x", "lock.json", "a\nb"]
)
def test_an_unsafe_path_is_refused(path, fetch, folder, hub, tmp_path):
    hub.listed = [{"type": "file", "oid": "0" * 40, "size": 3, "path": path}]
    status, output = fetch(files=["*"])
    (line,) = [line for line in output.splitlines() if ": error: " in line]
    assert status == 1 and "is not a valid file name" in line
    assert not list(tmp_path.rglob("escape*")) and fetched(folder) == {}


@pytest.mark.parametrize("link", ["part", "part/train-00000.parquet", ".fetch/part"])
def test_nothing_is_written_through_a_link(link, fetch, folder, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (folder / link).parent.mkdir(parents=True, exist_ok=True)
    (folder / link).symlink_to(outside if "." not in Path(link).name else outside / "file")
    status, output = fetch()
    assert status == 1 and "is a link; remove it" in output
    assert list(outside.iterdir()) == []


def test_a_pattern_that_matches_nothing_is_an_error(fetch):
    status, output = fetch(files=["README.md", "tars/*.tar"])
    assert status == 1 and "no file matches 'tars/*.tar'" in output


def test_an_unknown_name_and_a_damaged_lock_are_errors(fetch, folder):
    status, output = fetch("nothing")
    assert status == 1 and "nothing is called 'nothing'; use one of data, web" in output
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "lock.json").write_text('{"revision": null, "files": {"a": {}}}')
    status, output = fetch()
    assert status == 1 and "lock.json: damaged" in output


def test_a_killed_fetch_is_resumed_and_two_exclude_each_other(table, folder, hub, tmp_path):
    path = "part/train-00001.parquet"
    hub.faults[path] = ["slow"]
    words = ["fetch", "data", "--table", str(table()), "--into", str(tmp_path / "downloads")]
    command = [sys.executable, "-m", "sgt", *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    first = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    part = folder / ".fetch" / f"{path}.part"
    deadline = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size > 500_000):
        assert first.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    second = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert second.returncode == 1 and "another `sgt fetch` is running here" in second.stderr
    first.send_signal(signal.SIGKILL)
    first.communicate()
    hub.slow.set()
    hub.seen.clear()
    assert main(words) == 0
    assert fetched(folder) == WANTED
    (requested,) = [requested for host, at, requested, _, _ in hub.seen if host == "cdn" and path in at]
    assert requested.startswith("bytes=")


def test_a_disk_without_room_is_an_error_before_anything_is_fetched(fetch, folder, hub, monkeypatch):
    usage = shutil.disk_usage(".")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10**6))
    status, output = fetch()
    assert status == 1 and "0.0 GB are missing, 0.0 GB are free; make room" in output
    assert not [path for _, path, *_ in hub.seen if "/resolve/" in path] and fetched(folder) == {}


def test_progress_has_rate_and_time_left(fetch):
    status, output = fetch()
    assert status == 0 and "3 files, 3 to fetch, 0.003 GB of 0.003" in output
    assert re.search(r"MB 3/3  \d+\.\d/s  0 s left", output)


def test_the_table_of_the_repository_is_valid_and_pins_what_it_can():
    entries = read_yaml(ROOT / DOWNLOADS_FILE, Downloads).root
    assert {"sam-sgt", "coco-2017", "llava-onevision", "bagel-7b"} <= entries.keys()
    assert all(entry.licence for entry in entries.values())
