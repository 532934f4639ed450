"""How many conversations of which subsets of LLaVA-OneVision-Data.

``paper``: the categories that the paper prints, 501,000 in all (180k general, 103k documents, charts and screens, 101k
mathematics, 72k language, 45k OCR: shares 0.36, 0.21, 0.20, 0.14, 0.09), each drawn evenly from all its subsets. Which
subset is in which category is ours, after the names. ``script``: the subsets that the released download script asks
for, 74,000 in all. Patterns are those of file names; the script's short names were matched to the repository's folders
by us.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """So many conversations, drawn evenly from all subsets whose folder matches one of the patterns."""

    name: str
    count: int
    subsets: tuple[str, ...]


_DOCUMENTS = (
    "ai2d(*", "chart2text(*", "chartqa(*", "diagram_image_to_text(*", "docvqa*", "dvqa(*", "figureqa(*", "hitab(*",
    "infographic*", "lrv_chart", "robut_*", "screen2words(*", "tqa(*", "ureader_*", "visualmrc(*", "vistext(*",
    "websight(*", "multihiertt(*", "FigureQA(*",
)  # fmt: skip
_MATHEMATICS = (
    "CLEVR-Math(*", "GEOS(*", "GeoQA+(*", "Geometry3K(*", "MapQA(*", "Super-CLEVR(*", "TabMWP(*", "UniGeo(*",
    "geo170k(*", "geo3k", "geomverse(*", "intergps(*", "mapqa(*", "mathqa", "mavis_math_*", "raven(*", "tabmwp(*",
)  # fmt: skip
_LANGUAGE = ("magpie_pro(*",)
_OCR = (
    "chrome_writting", "hme100k", "iam(*", "iiit5k", "k12_printing", "orand_car_a", "rendered_text(*", "sroie",
    "textcaps", "textocr(*", "llavar_gpt4_20k", "st_vqa(*",
)  # fmt: skip
_GENERAL = (
    "IconQA(*", "PMC-VQA(*", "VisualWebInstruct(*", "VizWiz(*", "allava_instruct_*", "aokvqa(*", "cambrian(*",
    "clevr(*", "hateful_memes(*", "iconqa(*", "image_textualization(*", "llava_wild_*", "lrv_normal(*", "scienceqa(*",
    "sharegpt4*", "tallyqa(*", "vision_flan(*", "visual7w(*", "vqarad(*", "vsr(*",
)  # fmt: skip

MIXTURES: dict[str, tuple[Part, ...]] = {
    "paper": (
        Part("general", 180_000, _GENERAL),
        Part("document", 103_000, _DOCUMENTS),
        Part("mathematics", 101_000, _MATHEMATICS),
        Part("language", 72_000, _LANGUAGE),
        Part("ocr", 45_000, _OCR),
    ),
    "script": (
        Part("vision_flan", 5000, ("vision_flan(filtered)",)),
        Part("cambrian", 5100, ("cambrian(filtered*",)),
        Part("chartqa", 4000, ("chartqa(*",)),
        Part("ai2d gpt4v", 4000, ("ai2d(gpt4v)",)),
        Part("ai2d internvl", 4000, ("ai2d(internvl)",)),
        Part("dvqa", 4000, ("dvqa(*",)),
        Part("docvqa", 2600, ("docvqa*",)),
        Part("infographic_vqa", 2000, ("infographic_vqa*",)),
        Part("geo170k qa", 5000, ("geo170k(qa)",)),
        Part("geo170k align", 5000, ("geo170k(align)",)),
        Part("GeoQA+", 3000, ("GeoQA+(*",)),
        Part("TabMWP", 3000, ("TabMWP(*",)),
        Part("mathqa", 2100, ("mathqa",)),
        Part("UniGeo", 2000, ("UniGeo(*",)),
        Part("textcaps", 3000, ("textcaps",)),
        Part("hme100k", 2000, ("hme100k",)),
        Part("k12_printing", 1500, ("k12_printing",)),
        Part("textocr", 1400, ("textocr(gpt4v)",)),
        Part("rendered_text", 1000, ("rendered_text(*",)),
        Part("magpie_pro llama-3-80b", 7000, ("magpie_pro(l3_80b_*",)),
        Part("magpie_pro qwen2-72b", 7300, ("magpie_pro(qwen2_72b_*",)),
    ),
}


def scaled(parts: tuple[Part, ...], total: int) -> list[Part]:
    """The parts in the same proportions, ``total`` in all: rounded down, then one more to the largest remainders."""
    whole = sum(part.count for part in parts)
    counts = [part.count * total // whole for part in parts]
    remainders = sorted(range(len(parts)), key=lambda place: (-(parts[place].count * total % whole), place))
    for place in remainders[: total - sum(counts)]:
        counts[place] += 1
    return [Part(part.name, count, part.subsets) for part, count in zip(parts, counts, strict=True)]
