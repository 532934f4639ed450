"""A real HTTP server on this machine that answers as an OpenAI-compatible endpoint does, and fails in every way."""

import base64
import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from sgt.evaluation.evaluators.judge_kit import kit

KEY = "sk-secret/of+this.test"
# What a server may be told to do in place of an answer.
STALL, DIE, RUBBISH = "stall", "die", "rubbish"


class Asked:
    """One request: its text, the SHA-256 of its images, and the header with the key."""

    def __init__(self, body: dict[str, Any], authorization: str | None) -> None:
        self.body, self.authorization = body, authorization
        content = body["messages"][-1]["content"]
        self.text = content[0]["text"]
        urls = [part["image_url"]["url"] for part in content[1:]]
        self.images = [base64.b64decode(url.partition(",")[2]) for url in urls]
        self.id = (self.text, *(hashlib.sha256(image).hexdigest() for image in self.images))


def completion(text: Any, **message: Any) -> tuple[int, dict, dict]:
    """A reply with status, headers and body."""
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text, **message}}
    return 200, {}, {"id": "1", "model": "served-2026-01-01", "choices": [choice]}


class JudgeServer(ThreadingHTTPServer):
    """Calls ``behave`` with every request and its number; what it returns is sent.

    Attributes:
        log: what was asked, in order.
        answered: what was answered with status 200, in order.
    """

    daemon_threads = True

    def __init__(self, behave: Callable[[Asked, int], Any]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behave, self.log, self.answered = behave, [], []
        self.lock = threading.Lock()
        self.released = threading.Event()
        self.times: list[float] = []
        self.known = {Asked(_body(each.call), None).id: each.answer for each in kit(pairs=True)}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


def _body(call: Any) -> dict[str, Any]:
    images = [{"image_url": {"url": picture.url}} for picture in call.pictures]
    return {"messages": [{"content": [{"text": call.text}, *images]}]}


class _Handler(BaseHTTPRequestHandler):
    server: JudgeServer
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked = Asked(body, self.headers["Authorization"])
        with self.server.lock:
            number = len(self.server.log)
            self.server.log.append(asked)
            self.server.times.append(time.monotonic())
        if asked.id in self.server.known:
            reply = completion(self.server.known[asked.id])
        else:
            reply = self.server.behave(asked, number)
        if reply == STALL:
            self.server.released.wait(30)
            reply = DIE
        if reply == DIE:
            self.close_connection = True
            self.connection.close()
            return
        status, headers, content = reply if reply != RUBBISH else (200, {}, "<html>oops")
        data = (content if isinstance(content, str) else json.dumps(content)).encode()
        self.send_response(status)
        for name, value in {"Content-Length": len(data), **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        # Half of a reply, and then nothing.
        self.wfile.write(data[: len(data) // 2] if headers.get("X-Half") else data)
        if headers.get("X-Half"):
            self.close_connection = True
        if status == 200:
            with self.server.lock:
                self.server.answered.append(asked.id)

    def log_message(self, format: str, *args: Any) -> None:
        return


@contextmanager
def serving(behave: Callable[[Asked, int], Any]) -> Iterator[JudgeServer]:
    """A server as long as the block runs."""
    server = JudgeServer(behave)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


def question_number(asked: Asked) -> int:
    """The number in a question such as "Is there cup 3?"."""
    found = re.search(r"cup (\d+)", asked.text)
    assert found, asked.text
    return int(found[1])
