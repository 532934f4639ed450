"""A hub on this machine that implements Hugging Face's protocols, and injects faults.

Small files come from the hub itself; large ones (LFS) through a redirect to another host, the CDN. Both support
ranges. Files in ``xet`` come from Xet storage, which the CDN's host serves as well.
"""

import gzip
import hashlib
import json
import sys
import threading
import time
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote, unquote, urlsplit

from tests.data.fetch import xet

COMMIT = "c0ffee" + "0" * 34
HOME = "owner/name"
LARGE = 2000
PAGE = b"<!-- portal -->\n<!DOCTYPE html>\n<html><body>Please log in to the network</body></html>"


class Server(ThreadingHTTPServer):
    """A server that ignores broken connections."""

    daemon_threads = True

    def handle_error(self, request, client_address) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Hub:
    """Serves ``files`` (path -> bytes) as the repository ``owner/name``, and below ``/web/`` as plain files.

    ``others`` are more repositories, by name.

    Attributes:
        faults: by path, what the next responses for it do instead: a status, ``drop:N`` (end after N bytes), ``wrong``
            (other bytes), ``ignore-range``, ``slow`` (pause half-way until the event is set), ``gzip`` (compressed for
            the transfer), ``called gzip``; ``circles`` (redirects without end); or a login page: ``page``, ``page as a
            file`` (with another content type), ``page in gzip``, ``page elsewhere`` (after a redirect), ``page as a
            range``. Of a file in Xet storage, the piece in the middle has the fault. Faults of ``HEAD`` are statuses of
            responses to HEAD requests.
        ranges: whether files can be resumed; if not, they have no ETag either.
        xet: paths of the files of ``owner/name`` that are in Xet storage.
        seen: (host, path, Range, Authorization, status) of every request.
    """

    def __init__(self, files: dict[str, bytes], others: dict[str, dict[str, bytes]] | None = None) -> None:
        self.repositories = {HOME: files, **(others or {})}
        self.files, self.commit, self.listed = files, COMMIT, None
        self.faults: dict[str, list] = defaultdict(list)
        self.ranges = True
        self.xet: set[str] = set()
        self.seen: list[tuple] = []
        self.slow = threading.Event()
        self._servers = [Server(("127.0.0.1", 0), self._handler(host)) for host in ("hub", "cdn")]
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        self.url, self.cdn = (f"http://127.0.0.1:{server.server_address[1]}" for server in self._servers)

    def close(self) -> None:
        self.slow.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def tree(self, repository: str) -> list[dict]:
        """The hub's list of files, unless ``listed`` replaces it."""
        if self.listed is not None:
            return self.listed
        entries = []
        for path, content in self.repositories[repository].items():
            blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            entry = {"type": "file", "oid": blob, "size": len(content), "path": path}
            if len(content) >= LARGE:
                digest = hashlib.sha256(content).hexdigest()
                entry |= {"oid": "9" * 40, "lfs": {"oid": digest, "size": len(content), "pointerSize": 134}}
            if path in self.xet:
                entry["xetHash"] = xet.hash_of(content)
            entries.append(entry)
        return entries

    def _handler(self, host: str) -> type:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args) -> None:
                pass

            def do_HEAD(self) -> None:
                self.do_GET()

            def do_GET(self) -> None:
                path = unquote(urlsplit(self.path).path)
                if path == "/login":
                    self.answer(200, PAGE, {"Content-Type": "text/html"})
                elif "/xet-read-token/" in path:
                    self.answer_token()
                elif path.startswith("/api/"):
                    self.answer_api(path, "/".join(path.split("/")[3:5]))
                elif "/resolve/" in path:
                    repository, _, rest = path.removeprefix("/datasets").strip("/").partition("/resolve/")
                    self.answer_file(repository, rest.partition("/")[2])
                elif path.startswith("/web/"):
                    query = unquote(urlsplit(self.path).query)
                    self.answer_file(query if query in hub.repositories else HOME, path.removeprefix("/web/"))
                elif host == "cdn" and "/reconstructions/" in path:
                    self.answer_reconstruction(path.rpartition("/")[2])
                elif host == "cdn" and path.startswith("/xorb/"):
                    self.answer_xorb(*path.split("/")[2:])
                else:
                    self.answer(404, b"")

            def answer_api(self, path: str, repository: str) -> None:
                fault = self.fault("api")
                if fault == "page":
                    self.answer_page(fault)
                elif isinstance(fault, int):
                    self.answer(fault, b"", {"Retry-After": "0"})
                elif "/tree/" in path:
                    entries, query = hub.tree(repository), urlsplit(self.path).query
                    half = len(entries) // 2
                    if "cursor" in query or half == 0:
                        self.answer(200, json.dumps(entries[half:]).encode())
                    else:
                        link = f'<{hub.url}{self.path}&cursor=x>; rel="next"'
                        self.answer(200, json.dumps(entries[:half]).encode(), {"Link": link})
                else:
                    sha = path.partition("/revision/")[2] or hub.commit
                    self.answer(200, json.dumps({"id": "owner/name", "_id": "1", "sha": sha}).encode())

            def answer_token(self) -> None:
                token = {"accessToken": "xet-token", "exp": int(time.time()) + 3600, "casUrl": hub.cdn}
                self.answer(200, json.dumps(token).encode())

            def answer_reconstruction(self, digest: str) -> None:
                (path,) = [path for path in hub.xet if xet.hash_of(hub.files[path]) == digest]
                start = int(self.headers["Range"].removeprefix("bytes=").partition("-")[0])
                plan = xet.reconstruction(hub.files[path], start, f"{hub.cdn}/xorb/{digest}")
                self.answer(200, json.dumps(plan).encode())

            def answer_xorb(self, digest: str, index: str) -> None:
                (path,) = [path for path in hub.xet if xet.hash_of(hub.files[path]) == digest]
                pieces = xet.pieces(hub.files[path])
                fault = self.fault(path) if int(index) == len(pieces) // 2 else None
                if isinstance(fault, int):
                    return self.answer(fault, b"")
                piece = pieces[int(index)]
                content = xet.xorb(b"x" * len(piece) if fault == "wrong" else piece)
                about = {"Content-Range": f"bytes 0-{len(content) - 1}/{len(content)}"}
                self.answer(206, content, about, fault)

            def fault(self, path: str):
                return hub.faults[path].pop(0) if hub.faults[path] else None

            def answer_file(self, repository: str, path: str) -> None:
                content = hub.repositories.get(repository, {}).get(path)
                if content is None:
                    return self.answer(404, b"")
                digest = hashlib.sha256(content).hexdigest()
                about = {"ETag": f'"{digest}"', "X-Repo-Commit": hub.commit, "Accept-Ranges": "bytes"}
                if not hub.ranges:
                    about = {"X-Repo-Commit": hub.commit}
                if self.command == "HEAD" and hub.faults["HEAD"]:
                    return self.answer(hub.faults["HEAD"].pop(0), b"")
                if host == "hub" and path in hub.xet and repository == HOME:
                    token = f"{hub.url}/api/datasets/{HOME}/xet-read-token/{hub.commit}"
                    about |= {"X-Xet-Hash": xet.hash_of(content), "X-Xet-Refresh-Route": token}
                if host == "hub" and len(content) >= LARGE and not self.path.startswith("/web/"):
                    about |= {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(content))}
                    return self.answer(302, b"", {**about, "Location": f"{hub.cdn}/web/{quote(path)}?{repository}"})
                fault = None if self.command == "HEAD" else self.fault(path)
                if isinstance(fault, int):
                    return self.answer(fault, b"busy", {"Retry-After": "0"})
                if fault == "wrong":
                    content = content[:4] + b"x" * (len(content) - 4)
                if isinstance(fault, str) and fault.startswith(("page", "circles")):
                    return self.answer_page(fault)
                if fault == "gzip":
                    return self.answer(200, gzip.compress(content), {**about, "Content-Encoding": "gzip"})
                if fault == "called gzip":
                    about["Content-Encoding"] = "x-gzip"
                wanted, status = self.headers.get("Range"), 200
                same = self.headers.get("If-Range") in (None, about.get("ETag"))
                if wanted and hub.ranges and same and fault != "ignore-range":
                    start = int(wanted.removeprefix("bytes=").removesuffix("-"))
                    if start >= len(content):
                        return self.answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
                    about["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
                    content, status = content[start:], 206
                self.answer(status, content, about, fault)

            def answer_page(self, fault: str) -> None:
                html = {"Content-Type": "text/html; charset=utf-8"}
                if fault == "circles":
                    self.answer(302, b"", {"Location": self.path})
                elif fault == "page elsewhere":
                    self.answer(302, b"", {"Location": f"{hub.cdn}/login?token=SIGNATURE"})
                elif fault == "page as a file":
                    self.answer(200, PAGE, {"Content-Type": "application/octet-stream"})
                elif fault == "page in gzip":
                    self.answer(200, gzip.compress(PAGE), {"Content-Encoding": "gzip"})
                elif fault == "page as a range":
                    self.answer(206, PAGE, {**html, "Content-Range": self.headers["Range"].replace("=", " ") + "9/99"})
                else:
                    self.answer(200, PAGE, html)

            def answer(self, status: int, content: bytes, headers: dict | None = None, fault=None) -> None:
                sent = self.headers
                hub.seen.append((host, self.path, sent.get("Range"), sent.get("Authorization"), status))
                self.send_response(status)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command == "HEAD":
                    return
                if isinstance(fault, str) and fault.startswith("drop:"):
                    self.wfile.write(content[: int(fault.removeprefix("drop:"))])
                    self.wfile.flush()
                    self.close_connection = True
                    self.connection.shutdown(2)
                elif fault == "slow":
                    half = len(content) // 2
                    self.wfile.write(content[:half])
                    self.wfile.flush()
                    hub.slow.wait(30)
                    self.wfile.write(content[half:])
                else:
                    self.wfile.write(content)

        return Handler
