"""Contact sheets: labelled columns of images."""

from PIL import Image, ImageDraw, ImageFont, ImageOps

GAP = 6
TITLE = 20
INK, PAPER = (30, 30, 30), (255, 255, 255)

# A row of a sheet: images by the title of their column.
Row = dict[str, Image.Image]


def contact_sheet(rows: list[Row], side: int) -> Image.Image:
    """An RGB image of rows that have the same titles, with each image resized to fit a ``side`` × ``side`` cell.

    Images are resized by nearest neighbour, which keeps single pixels and the colours of labels.
    """
    titles = list(rows[0])
    pitch = side + GAP
    sheet = Image.new("RGB", (GAP + pitch * len(titles), TITLE + GAP + pitch * len(rows)), PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(titles):
        left = GAP + column * pitch
        draw.text((left + side / 2, TITLE / 2 + GAP / 2), title, INK, _font(title, side), anchor="mm")
        for index, row in enumerate(rows):
            image = ImageOps.contain(row[title], (side, side), Image.Resampling.NEAREST)
            top = TITLE + GAP + index * pitch
            sheet.paste(image, (left + (side - image.width) // 2, top + (side - image.height) // 2))
    return sheet


def _font(title: str, width: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The largest font, up to 13 pixels, in which a title fits its column."""
    fonts = [ImageFont.load_default(size) for size in range(13, 5, -1)]
    return next((font for font in fonts if font.getlength(title) <= width), fonts[-1])
