"""Judges behind an OpenAI-compatible endpoint, such as OpenAI, Azure's compatible API, vLLM or SGLang.

A request that is refused for now (429, 5xx), is not answered in time or whose connection breaks is sent again, after as
long as the server demands, else after twice as long each time, within bounds. A reply is kept as soon as it is there.
The key is read from the environment, and taken out of every text that a server sends.
"""

import json
import logging
import os
import random
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2

from sgt.config.judges import Judge
from sgt.data.fetch.retry import BUSY, retry_after
from sgt.errors import SgtError
from sgt.evaluation.evaluators.judge_calls import Answer, Backend, Call, Kept

log = logging.getLogger("sgt")
# Seconds before the second try; doubled each time.
FIRST_WAIT = 1.0
# No request will succeed after these.
FINAL = {
    401: "export a valid key",
    402: "see to the account",
    403: "use a key that may use this model",
    404: "correct url and model",
}
# In the error of a server that will not answer this request: OpenAI's and Azure's names.
POLICY = ("content_filter", "content_policy", "content policy", "responsibleaipolicy", "safety system", "moderation")
OUT_OF_MONEY = "insufficient_quota"


class Endpoint(Backend):
    """A judge that is called over HTTP.

    Args:
        judge: with its url and model.
        replies: folder of raw replies.

    Raises:
        SgtError: the environment has no key, and the judge needs one.
    """

    def __init__(self, judge: Judge, replies: Path) -> None:
        self.judge, self.kept = (
            judge,
            Kept(replies, judge.model_dump(mode="json", include={"model", "provider", "extra"})),
        )
        self._key = os.environ.get(judge.key_variable, "") if judge.key_variable else ""
        self._url = f"{str(judge.url).rstrip('/')}/chat/completions"
        self._lock, self._not_before = threading.Lock(), 0.0
        self._stop = threading.Event()
        # It logs the address of each request.
        logging.getLogger("httpx2").setLevel(logging.WARNING)

    def identity(self) -> dict[str, Any]:
        """The model; where it is served decides nothing, unless a provider is named."""
        return self.kept.judge

    def ask(self, calls: Sequence[Call]) -> list[Answer]:
        """The answers, in order, so many calls at once as the judge allows; of equal calls one is made.

        Whatever ends this, replies that are on their way are waited for and kept, so that they are not paid twice.
        """
        self._stop.clear()
        limits = httpx2.Limits(max_connections=self.judge.concurrency)
        with httpx2.Client(timeout=self.judge.timeout, headers=self._headers(), limits=limits) as client:
            pool = ThreadPoolExecutor(self.judge.concurrency)
            try:
                names = [self.kept.name(call) for call in calls]
                distinct = dict(zip(names, calls, strict=True))
                answers = pool.map(lambda call: self._answer(client, call), distinct.values())
                by_name = dict(zip(distinct, answers, strict=True))
                return [by_name[name] for name in names]
            finally:
                self._stop.set()
                pool.shutdown(wait=True, cancel_futures=True)

    def _headers(self) -> dict[str, str]:
        if not self.judge.key_variable:
            return {}
        if not self._key.strip() or not self._key.isascii() or not self._key.isprintable():
            raise SgtError(f"judge {self.judge.name}", f"no key in ${self.judge.key_variable}", "export one in it")
        return {"Authorization": f"Bearer {self._key}"}

    def _answer(self, client: httpx2.Client, call: Call) -> Answer:
        if (kept := self.kept.get(call)) is not None:
            return _read(kept, self.kept.name(call))
        reply = self._reply(client, call)
        if isinstance(reply, Answer):
            return reply
        self.kept.put(call, reply)
        return _read(reply, self.kept.name(call))

    def _reply(self, client: httpx2.Client, call: Call) -> dict[str, Any] | Answer:
        """The raw reply, or what became of the call where there is none."""
        body = json.dumps(self._body(call))
        headers = {"Content-Type": "application/json", "Idempotency-Key": self.kept.name(call)}
        failed = Answer("error", "interrupted")
        for number in range(self.judge.tries):
            if not self._wait():
                return failed
            demanded: float | None = None
            try:
                response = client.post(self._url, content=body, headers=headers)
            except httpx2.TimeoutException:
                failed = Answer("timeout", f"no reply in {self.judge.timeout:g} s")
            except httpx2.HTTPError as error:
                failed = Answer("error", self._public(f"{type(error).__name__}: {error}"))
            else:
                text = self._public(response.text)
                if response.is_success:
                    if (reply := _completion(text)) is not None:
                        return reply
                    failed = Answer("error", f"no completion in the reply: {text[:200]}")
                elif _is_refusal(response.status_code, text):
                    return {"refused": text}
                else:
                    failed = Answer("error", f"the server answered {response.status_code}: {text[:200]}")
                    self._require_hope(response.status_code, text)
                    if response.status_code not in BUSY:
                        return failed
                    demanded = retry_after(response.headers.get("Retry-After"))
                    if demanded is not None and demanded > self.judge.longest_wait:
                        return failed
            if number + 1 < self.judge.tries:
                self._delay(number, demanded)
        return failed

    def _body(self, call: Call) -> dict[str, Any]:
        images = [{"type": "image_url", "image_url": {"url": picture.url}} for picture in call.pictures]
        user = {"role": "user", "content": [{"type": "text", "text": call.text}, *images]}
        system = [{"role": "system", "content": call.system}] if call.system else []
        temperature = {} if call.temperature is None else {"temperature": call.temperature}
        sent = {"model": self.judge.model, **temperature, "max_tokens": call.max_tokens, "messages": [*system, user]}
        return {**sent, **self.judge.extra}

    def _require_hope(self, status: int, text: str) -> None:
        """Stop where no request will succeed.

        Raises:
            SgtError: the key, the account, the address or the model is wrong.
        """
        if status in FINAL or OUT_OF_MONEY in text:
            problem = f"the server answered {status}: {' '.join(text.split())[:200]}"
            raise SgtError(f"judge {self.judge.name}", problem, FINAL.get(status, "see to the account"))

    def _delay(self, number: int, demanded: float | None) -> None:
        """Let this thread wait before the next try; where the server demands it, all of them."""
        if demanded is not None:
            with self._lock:
                self._not_before = max(self._not_before, time.monotonic() + demanded)
            return
        # Not all threads at the same time.
        self._stop.wait(min(self.judge.longest_wait, FIRST_WAIT * 2**number * random.uniform(0.5, 1.0)))

    def _wait(self) -> bool:
        """Wait as long as the server demanded; False if judging was stopped."""
        while (left := self._not_before - time.monotonic()) > 0:
            if self._stop.wait(left):
                return False
        return not self._stop.is_set()

    def _public(self, text: str) -> str:
        """A text of the server without the key."""
        return text.replace(self._key, "***") if self._key else text


def _completion(text: str) -> dict[str, Any] | None:
    """The raw reply, if it has a message."""
    try:
        reply = json.loads(text)
        return reply if isinstance(reply["choices"][0]["message"], dict) else None
    except (ValueError, LookupError, TypeError, RecursionError):
        return None


def _is_refusal(status: int, text: str) -> bool:
    return 400 <= status < 500 and status not in BUSY and any(word in text.lower() for word in POLICY)


def _read(reply: dict[str, Any], name: str) -> Answer:
    """What a raw reply says."""
    if "refused" in reply:
        return Answer("refused", reply["refused"], kept=name)
    choice, model = reply["choices"][0], reply.get("model")
    model = model if isinstance(model, str) else None
    message = choice["message"]
    if message.get("refusal") or choice.get("finish_reason") == "content_filter":
        return Answer("refused", str(message.get("refusal") or "content_filter"), model, name)
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return Answer("ok", content if isinstance(content, str) else "", model, name)
