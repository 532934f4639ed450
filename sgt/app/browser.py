"""The page of ``sgt app``: a study's arms on one picture, in a browser."""

import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

# Before gradio is imported, which reads it then. Nothing is sent anywhere.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import gradio as gr
from PIL import Image

from sgt.app import fragments
from sgt.app.compare import Comparison
from sgt.app.uploads import MAX_BYTES, read_upload
from sgt.data.conversations import check_questions
from sgt.data.images import image_of
from sgt.errors import SgtError
from sgt.study.releases import trains

log = logging.getLogger("sgt")
# gradio requests its own page when it starts.
logging.getLogger("httpx").setLevel(logging.WARNING)
# Seconds after which a visitor's picture is dropped from memory, and an upload that was never read from the disk.
KEPT, UNREAD = 3600, 60
# Requests that may wait; more are refused.
WAITING = 20
# So many are proposed for a held-out picture.
OPTIONS = 4
INTRODUCTION = (
    "One picture, put to every arm of a model: to the base model, to `sft`, which was trained further on questions "
    "alone, and to the arms that were trained on a visual task beside the same questions."
)
INTRODUCTION_WITHOUT_TRAINING = "One picture, put to weights as they were released."
UPLOADS = "Uploads stay in memory and are not kept."
# One visitor at a time uses the models; the others wait in gradio's queue.
MODELS: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "models"}
# A picture: the image, and its place among the held-out ones if it is one of them.
Shown = tuple[Image.Image, int | None]


def one_line(handler: Callable) -> Callable:
    """Show what goes wrong in a handler, which is a generator, to its visitor in one line."""

    @wraps(handler)
    def run(*args: Any) -> Iterator[Any]:
        try:
            yield from handler(*args)
        except SgtError as error:
            raise gr.Error(str(error), print_exception=False) from None
        except (OSError, MemoryError, RuntimeError) as error:
            log.exception("a visitor's request failed")
            line = " ".join(str(error).split()) or type(error).__name__
            raise gr.Error(f"{line}; the log of `sgt app` has more", print_exception=False) from None

    return run


def page(comparison: Comparison) -> gr.Blocks:
    """The page of a study."""
    study = comparison.study.study
    with gr.Blocks(title=f"sgt: {study.name}", analytics_enabled=False, delete_cache=(UNREAD, UNREAD)) as blocks:
        introduction = INTRODUCTION if trains(comparison.study) else INTRODUCTION_WITHOUT_TRAINING
        gr.Markdown(f"# {study.name}\n{introduction} {UPLOADS}")
        shown = gr.State(time_to_live=KEPT)
        with gr.Row():
            model = gr.Dropdown(study.models, value=study.models[0], label="model")
            seed = gr.Dropdown(study.seeds, value=study.seeds[0], label="seed", visible=len(study.seeds) > 1)
        with gr.Row():
            with gr.Column(min_width=280):
                count = len(comparison.scenes) if comparison.scenes else 0
                place = gr.Number(0, label=f"held-out picture, 0 to {count - 1}", precision=0, visible=count > 0)
                choose = gr.Button("Show it", visible=count > 0)
                upload = gr.File(label="or upload a picture", height=120, elem_id="upload")
            with gr.Column(min_width=280):
                picture = gr.HTML()
        question = gr.Textbox(label="question", max_length=500, placeholder="what colour is the cube ?")
        options = gr.Textbox(
            label="options, separated by commas, if any", max_length=500, placeholder="red, green, blue"
        )
        with gr.Row():
            ask = gr.Button("Ask every arm", variant="primary")
            draw = gr.Button("Draw with every proxy arm", variant="primary")
        replies, drawn = gr.HTML(), gr.HTML()
        with gr.Accordion("What each arm fixed and broke", open=False):
            count_changes = gr.Button("Count")
            changed = gr.HTML()

        @one_line
        def show_scene(place: float) -> Iterator[tuple]:
            sample = comparison.scene(int(place))
            image, record = image_of(sample), sample.json()
            questions = check_questions(record["questions"], sample.image_name) if "questions" in record else []
            # The right answer to the first question, and those to others as wrong ones.
            given = list(dict.fromkeys(answer for _, answer in questions))[:OPTIONS]
            asked = f"{questions[0][0]} Right: {given[0]}" if questions else ""
            view = fragments.pictures([(sample.key, [(asked, image)], "")])
            yield (image, int(place)), view, questions[0][0] if questions else "", ", ".join(given)

        @one_line
        def show_upload(path: str | None) -> Iterator[tuple]:
            if path is None:
                yield None, "", None
                return
            image = read_upload(Path(path))
            size = f"{image.width}×{image.height} pixels"
            yield (image, None), fragments.pictures([("your picture", [(size, image)], "")]), None

        @one_line
        def ask_all(shown: Shown | None, model: str, seed: int, question: str, options: str) -> Iterator[str]:
            image, _ = require_picture(shown)
            if not question.strip():
                raise SgtError("question", "none", "write one")
            given = [text for option in options.split(",") if (text := option.strip())]
            found = []
            for answered in comparison.answers(image, model, seed, question.strip(), given):
                found.append(answered)
                yield fragments.answers(found, given, image)

        @one_line
        def draw_all(shown: Shown | None, model: str, seed: int) -> Iterator[str]:
            image, place = require_picture(shown)
            sample = None if place is None else comparison.scene(place)
            found = []
            for each in comparison.drawings(image, model, seed, sample):
                found.append(each)
                yield fragments.drawings(found)
            if not found:
                raise SgtError(model, "has no proxy arm in this study", "choose another model")

        @one_line
        def count_all(model: str) -> Iterator[str]:
            yield fragments.changed(comparison.changes, model)

        scene_shown = [shown, picture, question, options]
        choose.click(show_scene, place, scene_shown, api_name="show_scene")
        upload.upload(show_upload, upload, [shown, picture, upload], api_name="show_upload")
        ask.click(ask_all, [shown, model, seed, question, options], replies, api_name="ask", **MODELS)
        draw.click(draw_all, [shown, model, seed], drawn, api_name="draw", **MODELS)
        count_changes.click(count_all, model, changed, api_name="changes", concurrency_limit=1)
    return blocks


def require_picture(shown: Shown | None) -> Shown:
    """The picture that a visitor has chosen.

    Raises:
        SgtError: none, or it was dropped.
    """
    if shown is None:
        raise SgtError("picture", "none is chosen", "show a held-out one, or upload one")
    return shown


@contextmanager
def serving(comparison: Comparison, host: str, port: int) -> Iterator[tuple[gr.Blocks, str]]:
    """Serve the page while a ``with`` block runs, which gets the page and its address.

    Args:
        comparison: of the study.
        host: address to listen at.
        port: to listen at.

    Raises:
        SgtError: the port cannot be listened at.
    """
    with tempfile.TemporaryDirectory(prefix="sgt-app-") as uploads:
        # Where gradio puts uploads until they are read.
        os.environ["GRADIO_TEMP_DIR"] = uploads
        blocks = page(comparison).queue(max_size=WAITING)
        # Fonts of the visitor's system: nothing is loaded from elsewhere.
        theme = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
        try:
            _, address, _ = blocks.launch(
                server_name=host,
                server_port=port,
                share=False,
                quiet=True,
                prevent_thread_lock=True,
                max_file_size=MAX_BYTES,
                footer_links=[],
                ssr_mode=False,
                theme=theme,
                css=fragments.STYLE,
            )
        except OSError as error:
            raise SgtError(f"{host}:{port}", str(error), "choose another --port") from None
        try:
            log.info("open %s", address)
            yield blocks, address
        finally:
            blocks.close(verbose=False)
