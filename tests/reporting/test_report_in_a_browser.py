"""The report in a real headless Chromium: nothing fails or is fetched, it fits a phone, and works by keyboard."""

from pathlib import Path

import pytest

from tests.reporting.browser import CHROMIUM, DRIVER, browser
from tests.reporting.conftest import published

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs Chromium with its driver: Debian's chromium-driver"),
]
ENTER, DOWN = "\ue007", "\ue015"
PAGE = Path("results/report/index.html")


def test_the_page_works_in_a_browser(answered):
    published(answered)
    with browser() as page:
        papers = set()
        for width, dark in ((1280, False), (1280, True), (390, False), (390, True)):
            page.open(PAGE, width, dark)
            assert page.run("return document.documentElement.scrollWidth") <= width
            # Also with everything unfolded.
            page.run("for (const each of document.querySelectorAll('details')) each.open = true")
            assert page.run("return document.documentElement.scrollWidth") <= width
            papers.add(page.run("return getComputedStyle(document.body).backgroundColor"))
        assert len(papers) == 2
        assert not page.messages()
        assert all(address.startswith(("file:", "data:")) for address in page.requests())
        _follows_its_contents(page)
        _sorts_by_keyboard(page)
        _filters(page)
        # Wide tables scroll in their own box, with the first column in place.
        page.open(PAGE, 390)
        moved = page.run(
            "const box = document.querySelector('.tall'), cell = box.querySelector('tbody th');"
            "const before = cell.getBoundingClientRect().left; box.scrollLeft = 150;"
            "return [box.scrollLeft, before, cell.getBoundingClientRect().left]"
        )
        assert moved[0] > 50 and moved[1] == moved[2]
        # The strip of contents follows what is read.
        page.run("document.documentElement.style.scrollBehavior = 'auto'; scrollTo(0, document.body.scrollHeight)")
        strip = "document.querySelector('.contents').getBoundingClientRect()"
        link = "document.querySelector('.contents .here').getBoundingClientRect()"
        page.run("return new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        assert page.run(f"return {strip}.left <= {link}.left && {link}.right <= {strip}.right + 1")
        assert page.run("return document.querySelector('.contents .here').hash") == "#licence"
        assert not page.messages()


def _follows_its_contents(page) -> None:
    page.open(PAGE, 1280)
    page.run("document.documentElement.style.scrollBehavior = 'auto'")
    page.run("document.querySelector('.contents a[href=\"#costs\"]').focus()")
    page.press(ENTER)
    assert page.run("return location.hash") == "#costs"
    top = page.run("return document.getElementById('costs').getBoundingClientRect().top")
    assert 0 <= top < 900
    assert page.run("return document.querySelector('.contents').getBoundingClientRect().top") == 0


def _sorts_by_keyboard(page) -> None:
    cells = "[...document.querySelectorAll('.heat tbody tr')].map(row => row.cells[3].dataset.value)"
    column = f"{cells}.filter(value => value).map(Number)"
    page.run("document.querySelector('.heat button[data-column=\"3\"]').focus()")
    page.press(ENTER)
    falling = page.run(f"return {column}")
    assert falling == sorted(falling, reverse=True) and len(set(falling)) > 3
    page.press(ENTER)
    assert page.run(f"return {column}") == sorted(falling)
    assert page.run("return document.querySelector('.heat [aria-sort]').getAttribute('aria-sort')") == "ascending"


def _filters(page) -> None:
    shown = "[...document.querySelectorAll('.changes > li')].filter(each => !each.hidden).map(each => each.className)"
    every = page.run(f"return {shown}")
    page.run("document.querySelector('.changes').closest('details').open = true")
    page.run("document.querySelector('select[name=change]').focus()")
    # The first choice after all.
    page.press(DOWN)
    left = page.run(f"return {shown}")
    assert set(every) == {"fixed", "broke"} and left == ["broke"] * every.count("broke")
    assert page.run("return document.querySelector('.filters output').textContent") == f"{len(left)} of {len(every)}"
