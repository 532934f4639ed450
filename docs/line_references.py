"""Links from the documents to lines of code, such as ``[`Trainer.run`](../sgt/training/trainer.py#L70)``.

``python docs/line_references.py`` sets every number to the line on which the linked name is defined. A test compares.
"""

import ast
import re
from pathlib import Path

DOCS = Path(__file__).parent
LINK = re.compile(r"\[`([\w.]+)`\]\((\.\./[\w./]+\.py)#L(\d+)\)")


def line_of(name: str, path: Path) -> int:
    """The line on which a module defines a class, a function, a method (``Class.method``) or a constant.

    Raises:
        KeyError: it defines no such name.
    """
    scope: list[ast.stmt] = ast.parse(path.read_text(encoding="utf-8")).body
    for part in name.split("."):
        node = next((node for node in scope if part in _names(node)), None)
        if node is None:
            raise KeyError(f"{path} does not define {name}")
        scope = getattr(node, "body", [])
    return node.lineno


def _names(node: ast.stmt) -> set[str]:
    match node:
        case ast.ClassDef(name) | ast.FunctionDef(name):
            return {name}
        case ast.Assign(targets):
            return {target.id for target in targets if isinstance(target, ast.Name)}
        case ast.AnnAssign(ast.Name(name)):
            return {name}
    return set()


def renewed(page: Path) -> str:
    """A page's text with the line numbers of now."""

    def link(found: re.Match) -> str:
        name, path, _ = found.groups()
        return f"[`{name}`]({path}#L{line_of(name, page.parent / path)})"

    return LINK.sub(link, page.read_text(encoding="utf-8"))


def main() -> None:
    """Renew every page."""
    for page in sorted(DOCS.glob("*.md")):
        page.write_text(renewed(page), encoding="utf-8")


if __name__ == "__main__":
    main()
