"""What mkdocs adds to the pages of this folder: pages that live elsewhere in the repository, and generated ones."""

import re
from pathlib import Path
from posixpath import dirname, join, normpath, relpath

import reference
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
# File of the repository -> page of the site.
ELSEWHERE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "config/README.md": "configuration.md",
}
GENERATED = {"reference/command-line.md": reference.command_line, "reference/fields.md": reference.fields}
LINK = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in ``docs/``."""
    for file, page in ELSEWHERE.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / file)))
    for page, write in GENERATED.items():
        files.append(File.generated(config, page, content=write()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links between pages of the site."""
    here = page.file.src_uri
    if here in GENERATED:
        return markdown
    source = next((file for file, uri in ELSEWHERE.items() if uri == here), f"docs/{here}")

    def link(found: re.Match) -> str:
        target = normpath(join(dirname(source), found[1]))
        return f"]({relpath(_page_of(target), dirname(here) or '.')}{found[2] or ''})"

    return LINK.sub(link, markdown)


def _page_of(file: str) -> str:
    return ELSEWHERE.get(file) or relpath(file, "docs")
