"""Mixtures of LLaVA-OneVision-Data: the number of conversations from each of its subsets.

``paper``: the paper's categories, 501,000 conversations in all (180k general, 103k documents, charts and screens, 101k
mathematics, 72k language, 45k OCR: shares 0.36, 0.21, 0.20, 0.14, 0.09), each drawn uniformly from the rows of its
subsets. The paper does not say which subset is in which category; the assignment here goes by their names.
``script``: the subsets that the released download script requests, 74,000 in all; its short names were matched to the
repository's folders by hand. Patterns are those of ``fnmatch``.
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Category:
    """``count`` conversations, drawn uniformly from the rows of all subsets whose folder matches a pattern."""

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

MIXTURES: dict[str, tuple[Category, ...]] = {
    "paper": (
        Category("general", 180_000, _GENERAL),
        Category("document", 103_000, _DOCUMENTS),
        Category("mathematics", 101_000, _MATHEMATICS),
        Category("language", 72_000, _LANGUAGE),
        Category("ocr", 45_000, _OCR),
    ),
    "script": (
        Category("vision_flan", 5000, ("vision_flan(filtered)",)),
        Category("cambrian", 5100, ("cambrian(filtered*",)),
        Category("chartqa", 4000, ("chartqa(*",)),
        Category("ai2d gpt4v", 4000, ("ai2d(gpt4v)",)),
        Category("ai2d internvl", 4000, ("ai2d(internvl)",)),
        Category("dvqa", 4000, ("dvqa(*",)),
        Category("docvqa", 2600, ("docvqa*",)),
        Category("infographic_vqa", 2000, ("infographic_vqa*",)),
        Category("geo170k qa", 5000, ("geo170k(qa)",)),
        Category("geo170k align", 5000, ("geo170k(align)",)),
        Category("GeoQA+", 3000, ("GeoQA+(*",)),
        Category("TabMWP", 3000, ("TabMWP(*",)),
        Category("mathqa", 2100, ("mathqa",)),
        Category("UniGeo", 2000, ("UniGeo(*",)),
        Category("textcaps", 3000, ("textcaps",)),
        Category("hme100k", 2000, ("hme100k",)),
        Category("k12_printing", 1500, ("k12_printing",)),
        Category("textocr", 1400, ("textocr(gpt4v)",)),
        Category("rendered_text", 1000, ("rendered_text(*",)),
        Category("magpie_pro llama-3-80b", 7000, ("magpie_pro(l3_80b_*",)),
        Category("magpie_pro qwen2-72b", 7300, ("magpie_pro(qwen2_72b_*",)),
    ),
}


def scaled(categories: tuple[Category, ...], total: int) -> list[Category]:
    """The categories in the same proportions with ``total`` conversations, rounded by largest remainder."""
    whole = sum(each.count for each in categories)
    counts = [each.count * total // whole for each in categories]
    remainders = sorted(range(len(categories)), key=lambda place: (-(categories[place].count * total % whole), place))
    for place in remainders[: total - sum(counts)]:
        counts[place] += 1
    return [replace(each, count=count) for each, count in zip(categories, counts, strict=True)]
