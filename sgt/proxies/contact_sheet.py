"""Contact sheets: labelled columns of images."""

from PIL import Image, ImageDraw, ImageFont, ImageOps

GAP = 6
TITLE = 20
INK, PAPER = (30, 30, 30), (255, 255, 255)

# A row of a sheet: images by the title of their column.
Row = dict[str, Image.Image]


def contact_sheet(rows: list[Row], side: int) -> Image.Image:
    """An RGB image of rows that have the same titles, of one line or several, with each image in a cell.

    A cell is ``side`` pixels wide, and as high as the highest image of its row, which is at most ``side``. Each pixel
    of an image becomes a square of as many as fit; a larger image is reduced. Both are by nearest neighbour, which
    keeps the colours of labels.
    """
    titles = list(rows[0])
    pitch = side + GAP
    head = TITLE * max(title.count("\n") + 1 for title in titles)
    cells = [{title: fitted(row[title], side) for title in titles} for row in rows]
    heights = [max(image.height for image in row.values()) for row in cells]
    tops = [head + GAP + sum(heights[:index]) + GAP * index for index in range(len(cells) + 1)]
    sheet = Image.new("RGB", (GAP + pitch * len(titles), tops[-1]), PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(titles):
        left = GAP + column * pitch
        middle = (left + side / 2, head / 2 + GAP / 2)
        draw.text(middle, title, INK, _font(title, side), anchor="mm", align="center")
        for row, top, height in zip(cells, tops, heights, strict=False):
            image = row[title]
            sheet.paste(image, (left + (side - image.width) // 2, top + (height - image.height) // 2))
    return sheet


def fitted(image: Image.Image, side: int) -> Image.Image:
    """An image as it is in a cell of this side; one that is fitted stays as it is."""
    factor = side // max(image.size)
    if factor == 0:
        return ImageOps.contain(image, (side, side), Image.Resampling.NEAREST)
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def _font(title: str, width: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The largest font, up to 13 pixels, in which a title fits its column."""
    fonts = [ImageFont.load_default(size) for size in range(13, 5, -1)]
    return next((font for font in fonts if max(map(font.getlength, title.split("\n"))) <= width), fonts[-1])
