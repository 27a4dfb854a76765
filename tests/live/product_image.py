"""The picture that the demo uploads, so that no binary file is part of the repository."""

from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter, ImageFont

SIZE = (1280, 720)


def draw_product_image(path: Path) -> None:
    """Draw a bottle of "Orchard No. 7" on a soft background, 1280x720, in the format of the path's suffix."""
    image = Image.linear_gradient("L").resize(SIZE)
    image = Image.composite(Image.new("RGB", SIZE, "#f4ede0"), Image.new("RGB", SIZE, "#c9a27a"), image)
    shadow = Image.new("L", SIZE, 0)
    ImageDraw.Draw(shadow).ellipse((470, 590, 830, 670), fill=150)
    image.paste("#5b4030", mask=shadow.filter(ImageFilter.GaussianBlur(18)))
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle((540, 210, 740, 640), radius=46, fill="#1f4d3f")
    draw.rounded_rectangle((598, 110, 682, 250), radius=18, fill="#1f4d3f")
    draw.rounded_rectangle((590, 90, 690, 140), radius=12, fill="#d8b25c")
    draw.rounded_rectangle((562, 240, 580, 600), radius=9, fill="#3c7a66")
    draw.rectangle((540, 370, 740, 530), fill="#f7f1e3")
    draw.text((640, 420), "ORCHARD", font=ImageFont.load_default(size=34), fill="#1f4d3f", anchor="mm")
    draw.text((640, 475), "No. 7", font=ImageFont.load_default(size=44), fill="#a8492f", anchor="mm")
    image.save(path)
