"""The findings of the analysis ``ablate``, as JSON.

``reference``: over how many ``questions``, and ``tokens`` before and of answers, the means are. ``sets``: by arm, the
layers that ``moved`` most, and the sets of ``others``. ``items``: the columns of the benchmark's table of items that
are the same in every condition; ``conditions``: by the ablated layers, empty if there are none, the other columns.
"""

from collections.abc import Mapping
from typing import Any


def record_of(tables: Mapping[str, Mapping[str, list]]) -> dict[str, Any]:
    """Tables of items, by condition, as they are recorded."""
    first, *others = tables.values()
    shared = [name for name, column in first.items() if all(other[name] == column for other in others)]
    return {
        "items": {name: first[name] for name in shared},
        "conditions": {
            condition: {name: column for name, column in table.items() if name not in shared}
            for condition, table in tables.items()
        },
    }


def items_in(findings: Mapping[str, Any], condition: str) -> dict[str, list]:
    """The table of items in one condition."""
    return {**findings["items"], **findings["conditions"][condition]}
