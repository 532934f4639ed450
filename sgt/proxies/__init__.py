"""The proxy tasks by name, as they are when a study chooses nothing. A new proxy is one file and one line here."""

from sgt.proxies.base import Proxy
from sgt.proxies.depth import Depth
from sgt.proxies.edge import Edge
from sgt.proxies.inpainting import Inpainting
from sgt.proxies.reconstruction import Reconstruction
from sgt.proxies.segmentation import Segmentation
from sgt.study.fields import Strict

PROXIES: dict[str, Proxy] = {
    proxy.name: proxy for proxy in (Segmentation(), Depth(), Edge(), Reconstruction(), Inpainting())
}


def make_proxy(options: Strict) -> Proxy:
    """The proxy of a task with these options, an instance of its ``Options``."""
    return type(PROXIES[options.task])(options)
