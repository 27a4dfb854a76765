"""The picture that the demo uploads, so that no binary file is part of the repository."""

from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

SIZE = (1280, 720)
TABLE_TOP = 500


def draw_product_image(path: Path) -> None:
    """Draw a blue kettle on a wooden table, 1280x720, in the format of the path's suffix."""
    image = Image.composite(Image.new("RGB", SIZE, "#f6efe2"), Image.new("RGB", SIZE, "#d9c7ad"), Image.linear_gradient("L").resize(SIZE))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, TABLE_TOP, *SIZE), fill="#a9754a")
    for plank in range(TABLE_TOP, SIZE[1], 44):
        draw.line((0, plank, SIZE[0], plank), fill="#8f5f39", width=3)
    shadow = Image.new("L", SIZE, 0)
    ImageDraw.Draw(shadow).ellipse((420, 560, 900, 640), fill=160)
    image.paste("#4a2f1c", mask=shadow.filter(ImageFilter.GaussianBlur(16)))
    draw = ImageDraw.Draw(image)
    draw.arc((490, 170, 790, 520), start=180, end=360, fill="#2b2f36", width=26)
    draw.polygon([(780, 420), (930, 300), (965, 318), (800, 540)], fill="#2456a4")
    draw.rounded_rectangle((460, 320, 820, 600), radius=120, fill="#2f6bc6")
    draw.ellipse((540, 300, 740, 352), fill="#2456a4")
    draw.ellipse((618, 272, 662, 316), fill="#2b2f36")
    draw.rounded_rectangle((500, 400, 522, 530), radius=11, fill="#8fb6ee")
    image.save(path)
