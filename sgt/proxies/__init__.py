"""Proxy tasks: visual tasks used as image-generation targets.

``tasks/`` has one file per task and nothing else. A file in it is a registered proxy and is named nowhere else. The
interface (``base``), the registry, what tasks share (``annotations``, ``masks``, ``painting``, ``palettes``,
``depth_anything``) and the commands (``render``, ``preview``, ``contact_sheet``) are beside that folder. So discovery
needs no list of files to skip, and the list of files in ``tasks/`` is the list of tasks.
"""

from sgt.proxies.base import Proxy
from sgt.proxies.registry import PROXIES, make_proxy, options_type, proxy_options

__all__ = ["PROXIES", "Proxy", "make_proxy", "options_type", "proxy_options"]
