"""What the browser shows, as HTML: texts are escaped, and images are part of it, so that no file is written."""

import base64
from collections.abc import Iterable, Sequence
from html import escape

import numpy as np
from PIL import Image

from sgt.app.compare import Answered, Drawn
from sgt.data.images import encode_png
from sgt.reporting.changes import Changes

# Longest side of an image as it is sent, pixels. Smaller ones are enlarged by the browser, pixel by pixel.
SIDE = 512
# How opaque the shade is over a token without attention.
DARKEST = 0.9
STYLE = """
.sgt-pictures { display: flex; flex-wrap: wrap; gap: 1rem; }
.sgt-pictures section { border: 1px solid var(--border-color-primary); border-radius: 6px; padding: .6rem; }
.sgt-pictures section > div { display: flex; flex-wrap: wrap; gap: .6rem; }
.sgt-pictures h4 { margin: 0 0 .4rem; }
.sgt-pictures figure { margin: 0; }
.sgt-pictures img { width: min(9rem, 29vw); image-rendering: pixelated; }
.sgt-pictures figcaption { font-size: .85rem; }
.sgt-attention { display: block; margin-top: 1rem; }
.sgt-attention section { margin-top: .6rem; }
.sgt-attention summary { cursor: pointer; margin-top: .6rem; }
.sgt-shaded { width: min(9rem, 29vw); aspect-ratio: var(--shape); image-rendering: pixelated; }
.sgt-shaded { background: var(--picture) 0 0 / 100% 100%; }
.sgt-shaded img { display: block; height: 100%; width: 100%; }
.sgt-table { overflow-x: auto; }
.sgt-table table { border-collapse: collapse; }
.sgt-table th, .sgt-table td { padding: .25rem .7rem; text-align: right; }
.sgt-table tr { border-bottom: 1px solid var(--border-color-primary); }
.sgt-table th:first-child, .sgt-table td:first-child { text-align: left; }
.sgt-error { color: #b3261e; }
.dark .sgt-error { color: #f2b8b5; }
"""


def pictures(groups: Iterable[tuple[str, Sequence[tuple[str, Image.Image]], str]]) -> str:
    """Groups of pictures: a heading, the pictures with captions, and an error in their place if there is one."""
    sections = []
    for heading, shown, error in groups:
        figures = "".join(
            f'<figure><img src="{_address(image)}" alt="{escape(f"{heading}: {caption}")}">'
            f"<figcaption>{escape(caption)}</figcaption></figure>"
            for caption, image in shown
        )
        sections.append(f"<section><h4>{escape(heading)}</h4><div>{figures}</div>{_error(error)}</section>")
    return f'<div class="sgt-pictures">{"".join(sections)}</div>'


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose first column has names."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="sgt-table"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def answers(found: Sequence[Answered], options: Sequence[str], picture: Image.Image) -> str:
    """Each arm's reply, the log-probability and share of each option, and where on the picture it looks."""
    rows = []
    for each in found:
        if each.reply is None:
            rows.append([escape(each.arm), _error(each.error)])
            continue
        rated = [f"{option.logprob:.2f} ({option.share:.0%})" for option in each.options]
        rows.append([escape(each.arm), escape(each.reply.text), *rated])
    note = "<p>Below each option: its log-probability as the whole answer (nats), and its share among the options.</p>"
    return table(["arm", "reply", *options], rows) + (note if options else "") + attention(found, picture)


def attention(found: Sequence[Answered], picture: Image.Image) -> str:
    """Where on a picture each arm looks before it answers: on average over the layers, and layer by layer."""
    of_arms = [each for each in found if each.attention]
    if not of_arms:
        return ""
    mean = _shaded([(each.arm, np.mean(each.attention, axis=0)) for each in of_arms])
    layers = "".join(
        f"<section><h4>layer {layer}</h4>{_shaded([(each.arm, each.attention[layer]) for each in of_arms])}</section>"
        for layer in range(len(of_arms[0].attention))
    )
    note = (
        "Where on the picture an arm looks before it answers: the share of the attention of the last token before the "
        "answer that falls on the picture, averaged over heads and layers, and on which of its tokens it falls. The "
        "brightest token of all arms is shown clear, one without attention nearly black."
    )
    style = f"--picture: url({_address(picture)}); --shape: {picture.width} / {picture.height}"
    return (
        f'<div class="sgt-pictures sgt-attention" style="{style}"><p>{note}</p><section>{mean}</section>'
        f"<details><summary>Layer by layer</summary>{layers}</details></div>"
    )


def drawings(found: Sequence[Drawn]) -> str:
    """Each proxy arm's drawing beside what it was shown, if that is degraded, and the true target, if it is known."""
    groups = []
    for each in found:
        named = (("shown", each.given), ("drawn", each.made), ("true target", each.target))
        groups.append((each.arm, [(name, image) for name, image in named if image is not None], each.error))
    return pictures(groups)


def changed(found: Changes, model: str) -> str:
    """By kind of question, how many each arm of a model fixed and broke against the control."""
    arms = [arm for name, arm in found.pairs if name == model]
    rows = []
    for (benchmark, kind), counts in found.counts.items():
        of_arms = (counts[model, arm] for arm in arms)
        total = str(found.totals[benchmark, kind])
        rows.append([escape(f"{benchmark} {kind}"), total, *(f"+{fixed} −{broke}" for fixed, broke in of_arms)])
    note = "Questions that are right with the arm and wrong with the control, sft (+), and the reverse (−)."
    return f"<p>{note}</p>" + table(["kind", "questions", *arms], rows)


def _shaded(maps: Sequence[tuple[str, np.ndarray]]) -> str:
    """The picture once for each map, the darker the less attention falls on a place; the brightest of all is clear."""
    highest = max(shares.max() for _, shares in maps)
    figures = []
    for name, shares in maps:
        dark = (255 * DARKEST * (1 - shares / highest)).astype(np.uint8)
        # Black, with these as its opacity.
        shade = Image.fromarray(np.stack([np.zeros_like(dark), dark], axis=-1))
        caption = escape(f"{name}: {shares.sum():.1%}")
        overlay = f'<img src="{_address(shade)}" alt="attention of {caption}">'
        figures.append(f'<figure><div class="sgt-shaded">{overlay}</div><figcaption>{caption}</figcaption></figure>')
    return f"<div>{''.join(figures)}</div>"


def _error(text: str) -> str:
    return f'<span class="sgt-error">{escape(text)}</span>' if text else ""


def _address(image: Image.Image) -> str:
    """An address that holds the image itself."""
    if max(image.size) > SIDE:
        image = image.copy()
        image.thumbnail((SIDE, SIDE))
    return f"data:image/png;base64,{base64.b64encode(encode_png(image)).decode()}"
