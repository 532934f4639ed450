"""A page of HTML, read without a browser: is it well formed, complete in itself, and are its links and tables whole?"""

import html.parser
import itertools
import re

VOID = {"meta", "img", "br", "link", "wbr"}


class Page(html.parser.HTMLParser):
    """Reads a page, and checks it.

    Attributes:
        ids: of all elements.
        headings: (level, text), in order.
        tables: each a list of rows, each a list of texts; cells that span columns are repeated.
        sources: of every image.

    Raises:
        AssertionError: a tag is left open, an id is there twice, a link leads nowhere or out of the page, anything is
            loaded from elsewhere, headings skip a level, or a table's rows differ in length.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.headings: list[tuple[int, str]] = []
        self.tables: list[list[list[str]]] = []
        self.sources: list[str] = []
        self._open: list[str] = []
        self._links: list[str] = []
        self._styles = ""
        # Per open row, the columns that a cell of an earlier row reaches into.
        self._reaching: list[str] = []
        self.feed(text)
        self.close()
        self._check()

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if tag not in VOID:
            self._open.append(tag)
        if "id" in found:
            self.ids.append(found["id"])
        self._styles += found.get("style", "")
        if "src" in found:
            self.sources.append(found["src"])
        if "href" in found:
            self._links.append(found["href"])
        assert not {"srcset", "data", "poster", "action", "background"} & set(found), found
        match tag:
            case "h1" | "h2" | "h3" | "h4":
                self.headings.append((int(tag[1]), ""))
            case "table":
                self.tables.append([])
                self._reaching = []
            case "tr":
                self.tables[-1].append(list(self._reaching))
                self._reaching = []
            case "td" | "th":
                self.tables[-1][-1] += [""] * int(found.get("colspan", 1))
                if int(found.get("rowspan", 1)) == 2:
                    self._reaching = [""]

    def handle_endtag(self, tag):
        assert self._open.pop() == tag, tag

    def handle_data(self, data):
        if "style" in self._open:
            self._styles += data
        elif self._open and re.fullmatch(r"h[1-4]", self._open[-1]):
            level, text = self.headings[-1]
            self.headings[-1] = level, text + data
        elif {"td", "th"} & set(self._open):
            self.tables[-1][-1][-1] += data

    def _check(self) -> None:
        assert not self._open
        assert len(set(self.ids)) == len(self.ids)
        for link in self._links:
            assert link.startswith("data:") or link.removeprefix("#") in self.ids, link
        assert all(source.startswith("data:image/") for source in self.sources)
        assert not re.search(r"url\(|@import|https?:", self._styles)
        levels = [level for level, _ in self.headings]
        assert levels[0] == 1 and levels.count(1) == 1
        assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
        for table in self.tables:
            assert table and len({len(row) for row in table}) == 1, table[:2]
