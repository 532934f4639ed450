"""``judge`` of a study or of a benchmark: a model that looks at images and answers questions about them."""

import re
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from sgt.config.benchmarks import FetchedImageBenchmark
from sgt.config.fields import Count, Folder, Name, Probability, Strict
from sgt.config.inference import EditSamplingOptions

# What decides a judge's replies, besides what it is sent and the content of its weights.
DECIDING = {"model", "provider", "extra", "repeats"}


class Judge(Strict):
    """A judge behind an OpenAI-compatible endpoint (``url`` and ``model``), or one that is loaded (``checkpoint``)."""

    url: str | None = Field(None, description="of the API, to which /chat/completions is added; without a key in it")
    model: str | None = Field(None, description="as the endpoint names it, with its version where it has one")
    key_variable: str | None = Field(
        None, description="environment variable that has the key; none if no key is needed"
    )
    provider: Name | None = Field(
        None, description="who serves the model, if it matters: other judgements are made where it changes"
    )
    extra: dict[str, Any] = Field(
        {}, description="further fields of each request, such as chat_template_kwargs of a server of one's own"
    )
    checkpoint: Folder | None = Field(
        None, description="folder of a fetched vision-language model that transformers loads, in place of an endpoint"
    )
    repeats: Count = Field(1, description="how often each question is put: the spread of the replies widens intervals")
    concurrency: Count = Field(8, description="requests at once, of one benchmark")
    timeout: float = Field(120.0, gt=0, description="seconds until a request without a reply is given up")
    tries: Count = Field(6, description="how often a request is sent that is refused for now, or not answered")
    longest_wait: float = Field(120.0, ge=0, description="seconds between two tries, at most; also of Retry-After")
    failures_allowed: Probability = Field(
        0.2,
        description="share of the requests about twenty to a hundred images that may end without any reply; with more, "
        "judging stops, and can be resumed",
    )

    @model_validator(mode="after")
    def _one_kind(self) -> "Judge":
        if (self.url is None) == (self.checkpoint is None):
            raise ValueError("url: a judge has either a url, of an endpoint, or a checkpoint: give one of them")
        if self.url is not None and self.model is None:
            raise ValueError("model: the endpoint serves several: name one")
        if self.checkpoint is not None and (self.model or self.extra or self.key_variable or self.provider):
            raise ValueError("checkpoint: model, provider, extra and key_variable are of endpoints: remove them")
        if self.checkpoint is not None and self.repeats > 1:
            raise ValueError("repeats: a checkpoint decodes greedily, so that repeats are equal: remove it")
        return self

    @model_validator(mode="after")
    def _without_secrets(self) -> "Judge":
        if self.url is not None:
            parts = urlsplit(self.url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError("url: not an address: begin with https://, or http:// for a server of your own")
            if parts.username or parts.password or parts.query or parts.fragment:
                raise ValueError("url: has a user, password or query: give a key in the environment (key_variable)")
        if self.key_variable is not None and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", self.key_variable):
            # The text may be the key itself, so that it is not repeated.
            raise ValueError(
                "key_variable: not the name of an environment variable: name one, and export the key in it"
            )
        return self

    @property
    def name(self) -> str:
        """For people."""
        return str(self.model or self.checkpoint)

    @property
    def deciding(self) -> dict[str, Any]:
        """What decides its replies, as JSON; of a checkpoint its content decides instead of its place."""
        return self.model_dump(mode="json", include=DECIDING)


class JudgedImageBenchmark(FetchedImageBenchmark):
    """A published benchmark whose images a judge rates."""

    judged = True
    judging_fields = frozenset({"judge"})

    judge: Judge | None = Field(None, description="who judges; without it, the study's `judge`")

    @property
    def not_run(self) -> str | None:
        """Without a judge."""
        return None if self.judge else "it needs a `judge`, and neither its file nor the study has one"

    @property
    def judged_together(self) -> bool:
        """By an endpoint, which may drift; a checkpoint does not."""
        return self.judge is not None and self.judge.url is not None

    @property
    def downloads(self) -> tuple[str, ...]:
        """The judge's checkpoint."""
        return (self.judge.checkpoint,) if self.judge and self.judge.checkpoint else ()

    @property
    def judging_options(self) -> dict:
        """What decides the judge's replies, besides what it is sent."""
        return {"version": self.judging_version, "judge": self.judge.deciding if self.judge else None}


class JudgedEditBenchmark(JudgedImageBenchmark):
    """A published benchmark of edits, which a judge rates beside the images that they were made from."""

    edits = True

    sampling: EditSamplingOptions
