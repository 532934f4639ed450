"""A hub on this machine that takes uploads by the protocols that ``huggingface_hub`` uses, and injects faults.

Small files come within a commit; large ones go before it to another host, the storage: as LFS objects, or as Xet's.
"""

import base64
import hashlib
import json
import threading
import time
from collections import defaultdict
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

from tests.data.fetch.hub import Server
from tests.reporting.export import xet

TOKEN = "hf_secret0123456789"
LARGE = 5000


class UploadHub:
    """Takes commits to any repository.

    Attributes:
        repositories: files of each repository that was created, by path.
        private: those that were created as private ones.
        commits: message and paths of each commit.
        faults: by request (``create``, ``validate``, ``preupload``, ``batch``, ``put``, ``xet``, ``commit``), statuses
            of the next responses.
        seen: (host, method, path, Authorization) of every request.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.private: set[str] = set()
        self.commits: list[tuple[str, list[str]]] = []
        self.faults: dict[str, list[int]] = defaultdict(list)
        self.seen: list[tuple] = []
        self.objects: dict[str, bytes] = {}
        self.xorbs: dict[str, list[bytes]] = {}
        self._servers = [Server(("127.0.0.1", 0), self._handler(host)) for host in ("hub", "storage")]
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        self.url, self.storage = (f"http://127.0.0.1:{server.server_address[1]}" for server in self._servers)

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def create(self, about: dict) -> tuple[int, dict]:
        name = f"{about['organization']}/{about['name']}"
        answer = {"url": f"{self.url}/{name}"}
        if name in self.repositories:
            return 409, {**answer, "error": "You already created this model repo"}
        self.repositories[name] = {}
        if about.get("visibility") == "private":
            self.private.add(name)
        return 200, answer

    def validate(self, about: dict) -> tuple[int, dict]:
        tagged = about["content"].startswith("---\n")
        errors = [] if tagged else [{"message": "no tags"}]
        return 200 if tagged else 400, {"errors": errors, "warnings": []}

    def preupload(self, name: str, about: dict) -> tuple[int, dict]:
        if name not in self.repositories:
            return 404, {"error": "Repository not found"}
        files = []
        for file in about["files"]:
            held, large = self.repositories[name].get(file["path"]), file["size"] >= LARGE
            mode = {"path": file["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
            files.append(mode if held is None else {**mode, "oid": _oid(held, large)})
        return 200, {"files": files}

    def batch(self, about: dict) -> tuple[int, dict]:
        objects = []
        for each in about["objects"]:
            upload = {"href": f"{self.storage}/lfs/{each['oid']}?X-Amz-Signature=SIGNED"}
            held = each["oid"] in self.objects
            objects.append(each if held else {**each, "actions": {"upload": upload}})
        return 200, {"transfer": "basic", "objects": objects}

    def commit(self, name: str, body: bytes) -> tuple[int, dict]:
        """Take a commit whole, or refuse it."""
        header, *operations = (json.loads(line) for line in body.splitlines())
        added = {}
        for operation in operations:
            value = operation["value"]
            if operation["key"] == "lfsFile":
                content = self.objects.get(value["oid"])
                if content is None or len(content) != value["size"]:
                    return 400, {"error": f"{value['path']} was not uploaded"}
                added[value["path"]] = content
            else:
                added[value["path"]] = base64.b64decode(value["content"])
        self.repositories[name] |= added
        self.commits.append((header["value"]["summary"], list(added)))
        sha = f"{len(self.commits):040x}"
        return 200, {"commitUrl": f"{self.url}/{name}/commit/{sha}", "commitOid": sha, "success": True}

    def _handler(self, host: str) -> type:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args) -> None:
                pass

            def do_GET(self) -> None:
                self.answer()

            def do_POST(self) -> None:
                self.answer()

            def do_PUT(self) -> None:
                self.answer()

            def body(self) -> bytes:
                if self.headers.get("Transfer-Encoding") == "chunked":
                    parts = []
                    while size := int(self.rfile.readline(), 16):
                        parts.append(self.rfile.read(size))
                        self.rfile.readline()
                    self.rfile.readline()
                    return b"".join(parts)
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))

            def answer(self) -> None:
                path, body = urlsplit(self.path).path, self.body()
                hub.seen.append((host, self.command, self.path, self.headers.get("Authorization")))
                status, answer = self.respond(path.strip("/").split("/"), body)
                content = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.send_header("Retry-After", "0")
                self.end_headers()
                self.wfile.write(content)

            def respond(self, parts: list[str], body: bytes) -> tuple[int, dict]:
                """Status and answer of a request; a fault comes first."""
                match (host, *parts):
                    case ("hub", "api", "repos", "create"):
                        return self.fault("create") or hub.create(json.loads(body))
                    case ("hub", "api", "validate-yaml"):
                        return self.fault("validate") or hub.validate(json.loads(body))
                    case ("hub", "api", "models", owner, name, "preupload", "main"):
                        return self.fault("preupload") or hub.preupload(f"{owner}/{name}", json.loads(body))
                    case ("hub", _, _, "info", "lfs", "objects", "batch"):
                        return self.fault("batch") or hub.batch(json.loads(body))
                    case ("storage", "lfs", oid):
                        return self.fault("put") or hub.store(oid, body)
                    case ("hub", "api", "models", _, _, "xet-write-token", "main"):
                        token = {"accessToken": "xet-token", "exp": int(time.time()) + 3600, "casUrl": hub.storage}
                        return self.fault("xet") or (200, token)
                    case ("storage", "v1", "xorbs", "default", digest):
                        hub.xorbs[digest] = xet.chunks(body)
                        return 200, {"was_inserted": True}
                    case ("storage", "v1", "shards"):
                        for content in xet.files(body, hub.xorbs):
                            hub.store(hashlib.sha256(content).hexdigest(), content)
                        return 200, {"result": 1}
                    case ("hub", "api", "models", owner, name, "commit", "main"):
                        return self.fault("commit") or hub.commit(f"{owner}/{name}", body)
                    case ("hub", "api", "models", owner, name, *_) if f"{owner}/{name}" in hub.repositories:
                        return 200, {"id": f"{owner}/{name}", "_id": "1", "sha": f"{len(hub.commits):040x}"}
                return 404, {"error": "not found"}

            def fault(self, request: str) -> tuple[int, dict] | None:
                return (hub.faults[request].pop(0), {"error": f"no {request} now"}) if hub.faults[request] else None

        return Handler

    def store(self, oid: str, content: bytes) -> tuple[int, dict]:
        """Take a large file, if its content is what its name says."""
        if hashlib.sha256(content).hexdigest() != oid:
            return 400, {"error": "the content has another hash"}
        self.objects[oid] = content
        return 200, {}


def _oid(content: bytes, large: bool) -> str:
    """How the hub names a file's content: by SHA-256 if it is large, else as git does."""
    if large:
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
