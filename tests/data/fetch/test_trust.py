"""Content that is not the requested file is refused; files copied by hand are adopted."""

import gzip
import hashlib
import io
import json
import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import constants
from safetensors.numpy import save

from sgt.data.fetch.content import HEAD, check_head
from sgt.data.images import encode_jpeg
from sgt.errors import SgtError
from tests.data.fetch.conftest import BIG, WANTED, fetched
from tests.data.fetch.hub import COMMIT, PAGE


def zipped(**members: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(*names: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))
    return buffer.getvalue()


def parquet() -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"id": ["1"]}), buffer)
    return buffer.getvalue()


PHOTOGRAPH = encode_jpeg(np.zeros((8, 8, 3), np.uint8))
GENUINE = {
    "a.zip": zipped(a="a"), "empty.zip": zipped(), "a.tar": tarred("a"), "empty.tar": tarred(),
    "a.tar.gz": gzip.compress(b"a"), "a.parquet": parquet(), "a.json": b'\xef\xbb\xbf\n {"a": 1}', "list.json": b"[1]",
    "a.jsonl": b'{"a": 1}\n{"a": 2}\n', "a.safetensors": save({"a": np.zeros(3, np.float32)}), "a.jpg": PHOTOGRAPH,
    "A.JPG": PHOTOGRAPH, "a.txt": b"sa_1.jpg\n", "wide.txt": "sa_1.jpg".encode("utf-16"), "empty.txt": b"",
    "a.md": b"<p align='center'>", "page.html": PAGE, "a.bin": b"\0\1", "weights": b"\x80",
}  # fmt: skip
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n"
EXPIRED = b"<?xml version='1.0'?><Error><Code>ExpiredToken</Code></Error>"


@pytest.mark.parametrize("name", GENUINE)
def test_genuine_files_pass(name):
    check_head(name, name, GENUINE[name], len(GENUINE[name]))
    check_head(name, name, GENUINE[name][:HEAD], None)


@pytest.mark.parametrize("name", [name for name in GENUINE if name != "page.html"])
def test_a_page_never_passes(name):
    for page in (PAGE, b"\n\n<HTML lang=en>", b"\xef\xbb\xbf<head>", b"<script>location='/login'"):
        with pytest.raises(SgtError, match="file but a page of HTML"):
            check_head(name, name, page, len(page))


@pytest.mark.parametrize(
    "name", ["a.zip", "a.tar", "a.tar.gz", "a.parquet", "a.json", "a.safetensors", "a.jpg", "a.jsonl"]
)
def test_the_actual_kind_is_named(name):
    for content, kind in ((POINTER, "a Git LFS pointer"), (EXPIRED, "XML"), (b"", "empty"), (b"\0" * 100, "0x0000")):
        with pytest.raises(SgtError, match=rf"{name} is no \.\w+ file but .*{kind}"):
            check_head(name, name, content, len(content))
    with pytest.raises(SgtError, match="a Git LFS pointer"):
        check_head("a.txt", "a.txt", POINTER, len(POINTER))
    with pytest.raises(SgtError, match="begins with"):
        check_head("a.txt", "a.txt", b"\0\1\2", 3)


PAGES = ["page", "page as a file", "page in gzip", "page elsewhere"]
ARCHIVE = zipped(a="a" * 3000)


def nothing_is_trusted(folder: Path, path: str, status: int, output: str) -> None:
    """The error is one line, and neither the lock nor the folder contains the file."""
    (line,) = [line for line in output.splitlines() if ": error: " in line]
    assert status == 1 and "a network's login page, a proxy or an expired link" in line and path in line
    assert "SIGNATURE" not in output and "Traceback" not in output
    assert path not in json.loads((folder / "lock.json").read_text())["files"]
    assert not (folder / "fetched.json").exists() and not (folder / path).exists()


@pytest.mark.parametrize("fault", PAGES)
def test_a_page_in_place_of_a_file_of_the_web_is_not_trusted(fault, fetch, folder, hub):
    web = {"files": [{"url": f"{hub.url}/web/stuff.zip?key=SIGNATURE"}]}
    hub.files["stuff.zip"] = ARCHIVE
    hub.faults["stuff.zip"] = [fault]
    nothing_is_trusted(folder.parent / "web", "stuff.zip", *fetch("web", web=web))
    status, output = fetch("web", web=web)
    assert status == 0 and (folder.parent / "web/stuff.zip").read_bytes() == ARCHIVE
    assert "HTTP Request" not in output


@pytest.mark.parametrize("path", ["README.md", "part/train-00000.parquet", "part/train-00001.parquet"])
@pytest.mark.parametrize("fault", PAGES)
def test_a_page_in_place_of_a_file_of_the_hub_is_not_trusted(fault, path, fetch, folder, hub):
    hub.faults[path] = [fault]
    nothing_is_trusted(folder, path, *fetch("data", "--workers", "1"))
    assert fetch()[0] == 0 and fetched(folder) == WANTED


@pytest.mark.parametrize("fault", [*PAGES, "page as a range"])
def test_a_page_in_place_of_the_rest_leaves_what_had_arrived(fault, fetch, folder, hub):
    path = "part/train-00001.parquet"
    hub.faults[path] = ["drop:1000000", fault]
    nothing_is_trusted(folder, path, *fetch("data", "--workers", "1"))
    assert (folder / ".fetch" / f"{path}.part").stat().st_size >= 500_000
    hub.seen.clear()
    assert fetch()[0] == 0 and fetched(folder) == WANTED
    (requested,) = [requested for host, at, requested, _, _ in hub.seen if host == "cdn" and path in at]
    assert requested.startswith("bytes=")


def test_a_page_in_place_of_the_hubs_answer_is_an_error(fetch, folder, hub):
    hub.faults["api"] = ["page"]
    status, output = fetch()
    (line,) = [line for line in output.splitlines() if ": error: " in line]
    assert status == 1 and "owner/name: the answer is not that of a hub" in line and "login page" in line
    assert not (folder / "lock.json").exists()


def test_endless_redirects_are_an_error_at_once(fetch, folder, hub):
    hub.faults["README.md"] = ["circles"] * 100
    status, output = fetch()
    assert status == 1 and "the server redirects without end; a network's login page" in output


def test_compression_for_the_transfer_is_undone_unless_the_file_itself_is_compressed(fetch, folder, hub):
    hub.files |= {"a.json": b'{"a": 1}' * 100, "a.tar.gz": gzip.compress(b"a" * 100)}
    hub.faults |= {"a.json": ["gzip"], "a.tar.gz": ["called gzip"]}
    web = {"files": [{"url": f"{hub.url}/web/{path}"} for path in ("a.json", "a.tar.gz")]}
    assert fetch("web", web=web)[0] == 0
    assert fetched(folder.parent / "web") == {path: hub.files[path] for path in ("a.json", "a.tar.gz")}


def test_a_page_that_was_trusted_before_is_found(fetch, folder, hub):
    where = folder.parent / "web"
    where.mkdir(parents=True)
    (where / "stuff.zip").write_bytes(PAGE)
    digest = hashlib.sha256(PAGE).hexdigest()
    known = {"stuff.zip": {"size": len(PAGE), "sha256": digest}}
    (where / "lock.json").write_text(json.dumps({"revision": None, "wanted": ["stuff.zip"], "files": known}))
    hub.files["stuff.zip"] = ARCHIVE
    status, output = fetch("web", web={"files": [{"url": f"{hub.url}/web/stuff.zip"}]})
    assert status == 1 and "stuff.zip is no .zip file but a page of HTML" in output
    assert "remove it, and its entry in lock.json" in output


def test_two_addresses_with_one_file_name_are_an_error(fetch, hub):
    files = [{"url": f"{hub.url}/web/{folder}/a.zip"} for folder in ("x", "y")]
    status, output = fetch("web", web={"files": files})
    assert status == 1 and "a.zip: two addresses of the table end in this name" in output


def record(folder: Path) -> dict:
    return json.loads((folder / "fetched.json").read_text())


def test_files_copied_by_hand_are_adopted_and_verified_later(fetch, folder, hub, monkeypatch):
    for path, content in WANTED.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    (folder / "part/._train-00000.parquet").write_bytes(b"Mac OS X")
    status, output = fetch("data", "--adopt", sha256={"README.md": hashlib.sha256(WANTED["README.md"]).hexdigest()})
    assert status == 0 and not hub.seen and "3 files adopted" in output
    assert "unverified, as no hash of them is known: 2 of 3 files, e.g. part/train-00000.parquet" in output
    marks = {path: about.get("unverified", False) for path, about in record(folder)["files"].items()}
    assert marks == {"README.md": False, "part/train-00000.parquet": True, "part/train-00001.parquet": True}
    assert record(folder)["revision"] is None
    with monkeypatch.context() as offline:
        offline.setattr(constants, "HF_HUB_OFFLINE", True)
        assert fetch()[0] == 0 and fetch("data", "--verify")[0] == 0
    assert marks == {path: about.get("unverified", False) for path, about in record(folder)["files"].items()}
    assert fetch()[0] == 0 and not [at for _, at, *_ in hub.seen if "/resolve/" in at]
    assert record(folder)["revision"] == COMMIT
    assert not any(about.get("unverified") for about in record(folder)["files"].values())
    # A file that was verified once stays verified.
    assert fetch("data", "--adopt")[0] == 0
    assert not any(about.get("unverified") for about in record(folder)["files"].values())


def test_an_adopted_file_with_other_content_is_found_later(fetch, folder, hub):
    for path, content in WANTED.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    (folder / "part/train-00001.parquet").write_bytes(BIG[:-1] + b"X")
    assert fetch("data", "--adopt")[0] == 0
    status, output = fetch()
    assert status == 1 and "(part/train-00001.parquet): its sha256 is" in output
    assert "remove it to fetch it again" in output


def test_an_adopted_web_file_is_compared_with_the_size_on_the_server(fetch, folder, hub):
    where = folder.parent / "web"
    where.mkdir(parents=True)
    (where / "skip.bin").write_bytes(b"x" * 5000)
    assert fetch("web", "--adopt")[0] == 0 and record(where)["files"]["skip.bin"]["unverified"]
    status, output = fetch("web")
    assert status == 0 and "unverified, as no hash of them is known: 1 of 1 files, e.g. skip.bin" in output
    shutil.rmtree(where)
    where.mkdir()
    (where / "skip.bin").write_bytes(b"x" * 4000)
    assert fetch("web", "--adopt")[0] == 0
    status, output = fetch("web")
    assert status == 1 and "has 4000 bytes, expected 5000" in output


def test_files_that_cannot_be_adopted(fetch, folder, hub):
    web = {"files": [{"url": f"{hub.url}/web/stuff.zip", "md5": hashlib.md5(ARCHIVE).hexdigest()}]}
    where = folder.parent / "web"
    status, output = fetch("web", "--adopt", web=web)
    assert status == 1 and "1 of 1 files are missing, e.g. stuff.zip; copy them here" in output
    for content, problem in ((PAGE, "is no .zip file but a page of HTML"), (zipped(b="b"), "its md5 is")):
        (where / "stuff.zip").write_bytes(content)
        status, output = fetch("web", "--adopt", web=web)
        assert status == 1 and problem in output and "remove it to fetch it again" in output
        assert (where / "stuff.zip").exists() and not (where / "fetched.json").exists()
    web["files"][0] = {"url": web["files"][0]["url"], "size": len(ARCHIVE) + 1}
    (where / "stuff.zip").write_bytes(ARCHIVE)
    status, output = fetch("web", "--adopt", web=web)
    assert status == 1 and f"has {len(ARCHIVE)} bytes, expected {len(ARCHIVE) + 1}" in output
    (folder / "part").mkdir(parents=True)
    (folder / "README.md").write_bytes(WANTED["README.md"])
    status, output = fetch("data", "--adopt")
    assert status == 1 and "no file matches 'part/*' (1 files are there, e.g. 'README.md')" in output
    for number in (0, 2):
        (folder / f"part/model-{number:05d}-of-00003.safetensors").write_bytes(GENUINE["a.safetensors"])
    status, output = fetch("data", "--adopt")
    assert status == 1 and "2 of 3 files part/model-*-of-00003.safetensors are there" in output
    assert not (folder / "fetched.json").exists() and not hub.seen
