"""The page of `sgt app`, over loopback by gradio's own client and in a headless Chromium.

Needs gradio, which has an environment of its own: `make test-app`. The last tests also need Debian's chromium-driver.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from html import unescape
from pathlib import Path

import pytest
from PIL import Image

gradio = pytest.importorskip("gradio", reason="needs gradio: make test-app")

from gradio_client import Client, handle_file  # noqa: E402
from gradio_client.exceptions import AppError  # noqa: E402

import sgt  # noqa: E402
from sgt.app.browser import serving  # noqa: E402
from sgt.app.compare import Comparison  # noqa: E402
from sgt.data.images import encode_png, image_of  # noqa: E402
from tests.reporting.browser import CHROMIUM, DRIVER, Browser, browser  # noqa: E402

QUESTION = "how many cubes are there ?"
MINUTE = 60
# A desktop and a phone, pixels.
WIDTHS = (1280, 390)
IN_CHROMIUM = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs Debian's chromium and chromium-driver")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextmanager
def served(study: Path | str):
    """The page of a study, as (address, folder of uploads)."""
    comparison = Comparison(sgt.load_study(study), 1e9)
    with serving(comparison, "127.0.0.1", free_port()) as (blocks, address):
        assert blocks.server_name == "127.0.0.1"
        yield address, Path(os.environ["GRADIO_TEMP_DIR"])


@pytest.fixture(scope="module")
def app(made, tmp_path_factory):
    """The page of the small study, for the tests that do not change it."""
    root = tmp_path_factory.mktemp("app") / "study"
    shutil.copytree(made, root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        with served("config/micro.yaml") as page:
            yield page


@pytest.fixture
def here(app, monkeypatch):
    """The address of the page, from the folder of its study."""
    return app[0]


def visitor(address: str) -> Client:
    return Client(address, verbose=False, download_files=False, analytics_enabled=False)


def refused(client: Client, *words: object, api_name: str) -> str:
    """The one line that a visitor gets."""
    with pytest.raises(AppError) as error:
        client.predict(*words, api_name=api_name)
    assert "\n" not in str(error.value)
    return str(error.value)


def bytes_in(folder: Path) -> int:
    """What the files in a folder hold together. Gradio leaves an empty one for each upload."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def rows(table: str) -> list[list[str]]:
    """The cells of a table, without its header."""
    return [re.findall("<td>(.*?)</td>", unescape(row)) for row in re.findall("<tr>(<td>.*?)</tr>", table)]


def test_a_held_out_picture_is_shown_answered_about_and_drawn(here):
    study = sgt.load_study("config/micro.yaml")
    client = visitor(here)
    view, question, options = client.predict(1, api_name="/show_scene")
    assert "data:image/png;base64," in view and question and options
    answers = rows(client.predict("micro", 0, QUESTION, "one, two", api_name="/ask"))
    picture = image_of(Comparison(study, 1e9).scene(1))
    run = sgt.load_run(study, "micro/edge/seed0")
    reply, rated = run.answer(QUESTION, picture, max_new_tokens=64), run.rate(QUESTION, ["one", "two"], picture)
    assert [row[0] for row in answers] == ["base", "sft", "edge"]
    assert answers[2][1] == reply.text
    assert answers[2][2:] == [f"{each.logprob:.2f} ({each.share:.0%})" for each in rated]
    drawn = client.predict("micro", 0, api_name="/draw")
    assert "true target" in drawn and drawn.count("<img") == 2
    assert "toyworld-qa" in client.predict("micro", api_name="/changes")


def test_an_upload_is_answered_about_and_kept_nowhere(here, app, tmp_path):
    path = tmp_path / "mine.png"
    path.write_bytes(encode_png(Image.new("RGB", (48, 40), "red")))
    client = visitor(here)
    view, _ = client.predict(handle_file(str(path)), api_name="/show_upload")
    assert "48×40 pixels" in view
    assert len(rows(client.predict("micro", 0, QUESTION, "", api_name="/ask"))) == 3
    assert "<img" in client.predict("micro", 0, api_name="/draw")
    assert bytes_in(app[1]) == 0


def test_what_a_visitor_cannot_do_is_one_line_and_the_page_lives(here, app, tmp_path):
    client = visitor(here)
    assert "picture: none is chosen" in refused(client, "micro", 0, QUESTION, "", api_name="/ask")
    (tmp_path / "large.png").write_bytes(encode_png(Image.new("1", (10_000, 10_000))))
    (tmp_path / "text.jpg").write_text("not a picture")
    for name, problem in (("large.png", "100 megapixels, at most 40"), ("text.jpg", "corrupt or not an image")):
        assert problem in refused(client, handle_file(str(tmp_path / name)), api_name="/show_upload")
    assert "no picture 24; use 0 to 23" in refused(client, 24, api_name="/show_scene")
    client.predict(0, api_name="/show_scene")
    assert "question: none" in refused(client, "micro", 0, " ", "", api_name="/ask")
    assert len(rows(client.predict("micro", 0, QUESTION, "", api_name="/ask"))) == 3
    assert bytes_in(app[1]) == 0


def test_an_upload_of_too_many_bytes_is_refused_before_it_is_stored_whole(here, app, tmp_path):
    (tmp_path / "many.png").write_bytes(bytes(21 * 2**20))
    client = visitor(here)
    with pytest.raises(Exception, match=r"413|[Ss]ize"):
        client.predict(handle_file(str(tmp_path / "many.png")), api_name="/show_upload")
    assert bytes_in(app[1]) == 0
    assert client.predict(0, api_name="/show_scene")


def test_two_visitors_at_once_get_each_their_own(here):
    alone, together = [], []
    visitors = [visitor(here), visitor(here)]
    for place, client in enumerate(visitors):
        client.predict(place, api_name="/show_scene")
        alone.append(client.predict("micro", 0, QUESTION, "one, two", api_name="/ask"))
    jobs = [client.submit("micro", 0, QUESTION, "one, two", api_name="/ask") for client in visitors for _ in range(2)]
    together = [job.result(timeout=2 * MINUTE) for job in jobs]
    assert together == [alone[0], alone[0], alone[1], alone[1]] and alone[0] != alone[1]


def test_a_page_that_is_closed_midway_does_not_hold_the_others_up(here):
    leaving, staying = visitor(here), visitor(here)
    for client in (leaving, staying):
        client.predict(0, api_name="/show_scene")
    jobs = [leaving.submit("micro", 0, QUESTION, "one", api_name="/ask") for _ in range(3)]
    deadline = time.monotonic() + MINUTE
    while not jobs[0].outputs() and not jobs[0].done():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    leaving.close()
    assert len(rows(staying.submit("micro", 0, QUESTION, "", api_name="/ask").result(timeout=2 * MINUTE))) == 3


def test_a_checkpoint_that_is_gone_is_one_line_beside_the_other_arms(results):
    (results / "runs/micro/sft/seed0/final/ema.safetensors").unlink()
    with served("config/micro.yaml") as (address, _):
        client = visitor(address)
        client.predict(0, api_name="/show_scene")
        base, sft, edge = rows(client.predict("micro", 0, QUESTION, "", api_name="/ask"))
        assert "ema.safetensors: no such file" in sft[1] and base[1:] and "sgt-error" not in edge[1]


def test_the_command_serves_this_machine_alone_until_it_is_interrupted(here):
    port = free_port()
    command = [sys.executable, "-m", "sgt", "app", "config/micro.yaml", "--port", str(port)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = next(line for line in process.stderr if " open http" in line)
        assert f"http://127.0.0.1:{port}" in line
        taken = subprocess.run(command, capture_output=True, text=True)
        assert taken.returncode == 1 and f"error: 127.0.0.1:{port}: " in taken.stderr.splitlines()[-1]
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=MINUTE)
    assert process.returncode == 0


class Page:
    """The page in a browser, as a visitor uses it."""

    def __init__(self, opened: Browser, address: str, width: int) -> None:
        self.opened, self.address, self.width = opened, address, width
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        opened.devtools("Emulation.setDeviceMetricsOverride", **metrics)
        opened.devtools("Page.navigate", url=address)
        self.wait_for("Show it")

    def wait_for(self, shown: str) -> None:
        deadline = time.monotonic() + MINUTE
        while not self.opened.run(f"return document.body.innerText.includes({shown!r})"):
            assert time.monotonic() < deadline, self.opened.run("return document.body.innerText")
            time.sleep(0.1)

    def click(self, text: str) -> None:
        script = f"return [...document.querySelectorAll('button')].find(each => each.innerText.trim() == {text!r})"
        assert self.opened.run(f"{script} !== undefined"), text
        self.opened.run(f"{script}.click()")

    def ask(self, answered: str) -> None:
        """Show the first held-out picture and ask about it, until this is shown."""
        self.click("Show it")
        self.wait_for("test-000000")
        self.click("Ask every arm")
        self.wait_for(answered)

    def check(self) -> None:
        """Nothing is wider than the screen, nothing went wrong, and nothing came from elsewhere."""
        assert self.opened.run("return document.documentElement.scrollWidth") <= self.width
        assert not [message for message in self.opened.messages() if "favicon" not in message]
        own = ("data:", "blob:", "chrome", self.address)
        assert not {url for url in self.opened.requests() if not url.startswith(own)}


@IN_CHROMIUM
def test_a_visitor_clicks_through_the_page_on_a_desktop_and_on_a_phone(here, tmp_path):
    """With pictures of the whole page in SGT_TEST_PICTURES, if it names a folder."""
    pictures = Path(os.environ.get("SGT_TEST_PICTURES", tmp_path))
    with browser() as opened:
        for width in WIDTHS:
            page = Page(opened, here, width)
            page.ask("reply")
            page.click("Draw with every proxy arm")
            page.wait_for("true target")
            opened.screenshot(pictures / f"app-{width}.png")
            page.check()


@IN_CHROMIUM
def test_where_each_arm_looks_is_light_on_the_picture(attending):
    arms, layers = 3, 2
    # Of each: is the shade as large as the picture under it, is it loaded, and is it visible?
    shades = """return [...document.querySelectorAll('.sgt-shaded')].map(each => {
        const [under, over] = [each, each.firstChild].map(part => part.getBoundingClientRect());
        return [under.width == over.width && under.height == over.height, each.firstChild.naturalWidth > 1,
                getComputedStyle(each).backgroundImage.startsWith('url("data:'),
                over.width > 50 && each.checkVisibility()]})"""
    with served(attending) as (address, _), browser() as opened:
        for width in WIDTHS:
            page = Page(opened, address, width)
            page.ask("edge:")
            found = opened.run(shades)
            assert found[:arms] == [[True] * 4] * arms
            assert len(found) == arms * (1 + layers) and not any(visible for *_, visible in found[arms:])
            opened.run("document.querySelector('.sgt-attention summary').click()")
            page.wait_for(f"layer {layers - 1}")
            assert opened.run(shades) == [[True] * 4] * (arms * (1 + layers))
            page.check()
