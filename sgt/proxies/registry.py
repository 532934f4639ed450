"""Finds the proxies in ``tasks/`` and makes them from options."""

import importlib
import inspect
import json
import pkgutil
from collections.abc import Mapping
from functools import cache
from types import ModuleType
from typing import Annotated, Any, Union, get_args

from pydantic import Field, TypeAdapter

from sgt.config.proxies import ProxyOptions
from sgt.proxies import tasks
from sgt.proxies.base import LEVELS, Proxy


def _proxies_in(module: ModuleType) -> list[type[Proxy]]:
    """The proxy classes that a module defines; not those that it imports, nor abstract ones."""
    return [
        member
        for member in vars(module).values()
        if inspect.isclass(member)
        and issubclass(member, Proxy)
        and member.__module__ == module.__name__
        and not inspect.isabstract(member)
    ]


def _checked(kind: type[Proxy]) -> type[Proxy]:
    """A proxy class that declares all it has to.

    Raises:
        TypeError: it does not; the message names the module, the class and the attribute.
    """
    where = f"{kind.__module__}.{kind.__name__}"
    if missing := [name for name in ("name", "level", "prompts") if not getattr(kind, name, None)]:
        raise TypeError(f"{where} has no {missing[0]}: set the class attribute")
    if kind.level not in LEVELS:
        raise TypeError(f"{where}: level is {kind.level!r}: use one of {', '.join(LEVELS)}")
    if get_args(kind.Options.model_fields["task"].annotation) != (kind.name,):
        raise TypeError(f'{where}: declare `task: Literal["{kind.name}"]` in its Options')
    return kind


def discover(package: ModuleType) -> dict[str, Proxy]:
    """Every proxy that a package's modules define, with its default options, in the order of contact sheets and lists:
    by ``sheet_order``, then from high level to low, then by name.

    Raises:
        TypeError: a module defines no proxy, a proxy is incomplete, or two have the same name.
    """
    found: dict[str, type[Proxy]] = {}
    for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        kinds = _proxies_in(importlib.import_module(info.name))
        if not kinds:
            raise TypeError(f"{info.name} defines no proxy: move it out of {package.__name__}")
        for kind in map(_checked, kinds):
            if kind.name in found:
                first = found[kind.name].__module__
                raise TypeError(f"{first} and {info.name} both define a proxy named {kind.name!r}: rename one")
            found[kind.name] = kind
    ordered = sorted(found.values(), key=lambda kind: (kind.sheet_order, LEVELS.index(kind.level), kind.name))
    return {kind.name: kind() for kind in ordered}


PROXIES: dict[str, Proxy] = discover(tasks)


@cache
def options_type() -> Any:
    """The union of all ``Options``, discriminated by ``task``: a type for a pydantic field, or for the JSON schema of
    ``TypeAdapter(options_type())``."""
    union: Any = Union[tuple(type(proxy).Options for proxy in PROXIES.values())]  # noqa: UP007 (of a tuple made here)
    return Annotated[union, Field(discriminator="task")]


def proxy_options(mapping: Mapping[str, Any]) -> ProxyOptions:
    """The ``Options`` of a task from a mapping such as ``{"task": "edge", "method": "canny"}``.

    Values are not converted: text is not a number. Lists may stand for tuples.

    Raises:
        pydantic.ValidationError: the task is known and an option of it is not valid; ``loc`` is (task, field, …).
        ValueError: there is no task, or it is not registered.
    """
    if "task" not in mapping:
        raise ValueError(f"no task: add task, one of {', '.join(PROXIES)}")
    if mapping["task"] not in list(PROXIES):
        raise ValueError(f"unknown task {mapping['task']!r}: use one of {', '.join(PROXIES)}")
    return _adapter().validate_json(json.dumps(dict(mapping)), strict=True)


@cache
def _adapter() -> TypeAdapter:
    return TypeAdapter(options_type())


def make_proxy(options: ProxyOptions) -> Proxy:
    """The proxy of a task with these options, an instance of its ``Options``."""
    return type(PROXIES[options.task])(options)
