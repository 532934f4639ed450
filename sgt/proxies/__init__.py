"""The proxy tasks by name. A new proxy is one file and one line here."""

from sgt.proxies.base import Proxy
from sgt.proxies.depth import Depth
from sgt.proxies.edge import Edge
from sgt.proxies.inpainting import Inpainting
from sgt.proxies.reconstruction import Reconstruction
from sgt.proxies.segmentation import Segmentation

PROXIES: dict[str, Proxy] = {
    proxy.name: proxy for proxy in (Segmentation(), Depth(), Edge(), Reconstruction(), Inpainting())
}
