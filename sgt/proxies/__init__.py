"""The proxy tasks by name, as they are when a study chooses nothing. A new proxy is one file and one line here."""

from typing import Annotated, Union

from pydantic import Field

from sgt.config.proxies import ProxyOptions
from sgt.proxies.base import Proxy
from sgt.proxies.deblur import Deblur
from sgt.proxies.denoise import Denoise
from sgt.proxies.depth import Depth
from sgt.proxies.derain import Derain
from sgt.proxies.detection import Detection
from sgt.proxies.edge import Edge
from sgt.proxies.inpainting import Inpainting
from sgt.proxies.low_light import LowLight
from sgt.proxies.normals import Normals
from sgt.proxies.reconstruction import Reconstruction
from sgt.proxies.segmentation import Segmentation
from sgt.proxies.super_resolution import SuperResolution

# In the order of a contact sheet.
_KINDS = (
    Segmentation,
    Depth,
    Edge,
    Reconstruction,
    Inpainting,
    Detection,
    Normals,
    Denoise,
    Deblur,
    SuperResolution,
    LowLight,
    Derain,
)
PROXIES: dict[str, Proxy] = {kind.name: kind() for kind in _KINDS}


# What a study can choose about a proxy: the ``Options`` of the task that it names.
AnyOptions = Annotated[
    Union[tuple(type(proxy).Options for proxy in PROXIES.values())],  # noqa: UP007 (of a tuple made here)
    Field(discriminator="task"),
]


def make_proxy(options: ProxyOptions) -> Proxy:
    """The proxy of a task with these options, an instance of its ``Options``."""
    return type(PROXIES[options.task])(options)
