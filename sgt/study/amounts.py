"""Numbers as people read them."""


def amount(value: float) -> str:
    """With three digits and a prefix: 29.2 G."""
    for prefix, size in (("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {prefix}"
    return f"{value:.3g} "


def many(count: int, what: str) -> str:
    """A count with its noun: 1 run, 2 runs."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
