"""The proxy tasks, one module each. A module is registered by being here (:mod:`sgt.proxies.registry`)."""
