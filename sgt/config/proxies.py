"""What a study file may choose about a proxy."""

from sgt.config.fields import Strict


class ProxyOptions(Strict):
    """The task alone; each proxy's ``Options`` adds what can be chosen about it."""

    task: str
