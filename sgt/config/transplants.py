"""Transplants: runs that are not trained, but made of the parts of two others."""

from typing import Annotated

from pydantic import Field, field_validator

from sgt.config.fields import Name, Strict
from sgt.config.recipe import Part


class Transplant(Strict):
    """One arm's run with some parts from another arm's run of the same model and seed."""

    into: Name = Field(description="arm whose run everything else is of")
    parts_from: Name = Field(description="arm whose run the parts are of")
    parts: Annotated[list[Part], Field(min_length=1)] = Field(
        description="parts that are taken; vision is the semantic encoder with its connector"
    )

    @field_validator("parts")
    @classmethod
    def _once(cls, parts: list[Part]) -> list[Part]:
        if len(set(parts)) < len(parts):
            raise ValueError(f"lists a part twice: {parts}")
        return parts
