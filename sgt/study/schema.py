"""A study file with its proxies: the fields of :class:`sgt.config.study.Study`, and each proxy's own options."""

import json
from importlib import import_module
from typing import TYPE_CHECKING

from pydantic import Field, model_validator
from pydantic.json_schema import models_json_schema

from sgt.config.analyses import ANALYSES, ANALYSIS_OPTIONS
from sgt.config.fields import Name
from sgt.config.study import ARM_WITHOUT_PROXY, ARM_WITHOUT_TRAINING, NO_PROXY, Study
from sgt.proxies import PROXIES, options_type

# pydantic validates with the union of all options, which is made when the proxies are found; a type checker has their
# common class.
if TYPE_CHECKING:
    from sgt.config.proxies import ProxyOptions as AnyOptions
else:
    AnyOptions = options_type()


class StudyFile(Study):
    """A study whose arms are proxies that there are, with options that they have."""

    proxies: dict[Name, AnyOptions] = Field({}, description=Study.model_fields["proxies"].description)

    @model_validator(mode="after")
    def _known_arms(self) -> "StudyFile":
        proxies = list(dict.fromkeys([*PROXIES, *self.proxies]))
        for name, options in self.proxies.items():
            if name in NO_PROXY or (name in PROXIES and options.task != name):
                raise ValueError(f"proxies: {name!r} is the name of another task or arm: rename it")
        known = [*NO_PROXY, *proxies, *self.variants]
        for arm in self.arms:
            if arm not in known:
                raise ValueError(f"arms: unknown proxy {arm!r}: use one of {', '.join(known)}")
        if len(set(known)) < len(known):
            raise ValueError("variants: one has the name of another arm: rename it")
        if set(self.arms) - {ARM_WITHOUT_TRAINING, ARM_WITHOUT_PROXY} and ARM_WITHOUT_PROXY not in self.arms:
            raise ValueError(f"arms: all others are compared with {ARM_WITHOUT_PROXY!r}: add it")
        for name, variant in self.variants.items():
            if variant.proxy not in proxies:
                raise ValueError(f"variants.{name}: no proxy {variant.proxy!r}: use one of {', '.join(proxies)}")
        return self


def study_schema() -> str:
    """The JSON schema of a study file, as text; nothing reads it when a study runs."""
    schema = StudyFile.model_json_schema()
    import_module(ANALYSES)
    kinds, found = models_json_schema([(kind, "validation") for kind in ANALYSIS_OPTIONS.values()])
    schema["$defs"] |= found["$defs"]
    schema["properties"]["analyses"]["items"] = {"anyOf": list(kinds.values())}
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=2) + "\n"
