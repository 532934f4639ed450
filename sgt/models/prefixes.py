"""Requests that begin alike share the key-value cache of what they begin with."""

from collections.abc import Sequence
from dataclasses import dataclass

from sgt.models.interface import Request


@dataclass(frozen=True)
class SharedPrefixes:
    """Requests, each cut after its last image.

    Attributes:
        prefixes: the distinct beginnings: system text and content up to and including the last image. Images are
            the same if they are the same object.
        prefix_of: per request, the index of its prefix.
        tails: per request, the texts after its last image.
    """

    prefixes: list[Request]
    prefix_of: list[int]
    tails: list[Sequence[str]]


def shared_prefixes(requests: Sequence[Request]) -> SharedPrefixes:
    """Cut each request after its last image and keep equal beginnings once, in order of their first appearance."""
    found: dict[tuple, int] = {}
    prefixes: list[Request] = []
    prefix_of: list[int] = []
    tails: list[Sequence[str]] = []
    for request in requests:
        images = [place for place, part in enumerate(request.content) if not isinstance(part, str)]
        cut = images[-1] + 1 if images else 0
        content = tuple(request.content[:cut])
        key = (request.system, *(part if isinstance(part, str) else id(part) for part in content))
        if key not in found:
            found[key] = len(prefixes)
            prefixes.append(Request(content, request.system))
        prefix_of.append(found[key])
        tails.append(tuple(part for part in request.content[cut:] if isinstance(part, str)))
    return SharedPrefixes(prefixes, prefix_of, tails)
