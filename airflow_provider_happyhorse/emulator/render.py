"""Draw and encode results. Imported only when the first file is rendered: PyAV and Pillow cost a third of a second."""

from __future__ import annotations

import colorsys
import hashlib
import itertools
import math
from collections.abc import Callable
from pathlib import Path

import av
from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps

from .pictures import FRAME_SIZES, FRAMES_PER_SECOND, Picture

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_MARGIN = 20
_STRIP = 64
# Pillow's own font covers Latin, Greek and Cyrillic; for the rest the machine's fonts are tried.
_WIDER_FONTS = (
    "NotoSansCJK-Regular.ttc",
    "wqy-zenhei.ttc",
    "DroidSansFallbackFull.ttf",
    "PingFang.ttc",
    "msyh.ttc",
    "malgun.ttf",
    "DejaVuSans.ttf",
)
_LAST_COVERED = 0x24F


class RenderingStopped(Exception):
    """The emulator is shutting down; the unfinished file is worthless."""


def render(picture: Picture, *, label: str, target: Path, stopped: Callable[[], bool]) -> None:
    """Write the file of a result to ``target``, whose suffix does not matter.

    :param label: the job's id, drawn small, so that no two results are the same file
    :param stopped: asked before every frame
    :raises RenderingStopped: when ``stopped()`` says so
    """
    if picture.extension == "mp4":
        _render_video(picture, label=label, target=target, stopped=stopped)
        return
    canvas = _scene(picture, prompt=picture.shots[0].prompt, label=label)
    canvas.save(target, format={"png": "PNG", "jpg": "JPEG", "webp": "WEBP"}[picture.extension])


def frame_counts(picture: Picture) -> list[int]:
    """Return the frames of every shot; cuts are rounded on the running total, so that rounding does not add up over the shots."""
    cuts = [round(total * FRAMES_PER_SECOND) for total in itertools.accumulate(shot.seconds for shot in picture.shots)]
    return [max(0, after - before) for before, after in itertools.pairwise([0, *cuts])]


def _render_video(picture: Picture, *, label: str, target: Path, stopped: Callable[[], bool]) -> None:
    width, height = FRAME_SIZES[picture.aspect_ratio]
    counts = frame_counts(picture)
    font = _font(18, "0")
    # +faststart rewrites the file at the end, so PyAV needs a real path here, not a buffer.
    with av.open(str(target), mode="w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=FRAMES_PER_SECOND, options={"preset": "veryfast", "crf": "26", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        index = 0
        for number, (shot, count) in enumerate(zip(picture.shots, counts, strict=True), start=1):
            of_shots = f"shot {number}/{len(counts)} · " if len(counts) > 1 else ""
            scene = _scene(picture, prompt=shot.prompt, label=of_shots + label)
            for _ in range(count):
                if stopped():
                    raise RenderingStopped
                image = scene.copy()
                _draw_motion(image, seconds=index / FRAMES_PER_SECOND, length=picture.seconds, font=font)
                frame = av.VideoFrame.from_image(image).reformat(format="yuv420p")  # type: ignore[no-untyped-call]
                frame.pts = index
                container.mux(stream.encode(frame))
                index += 1
        container.mux(stream.encode(None))


def _scene(picture: Picture, *, prompt: str, label: str) -> Image.Image:
    """Draw everything that does not move."""
    width, height = FRAME_SIZES[picture.aspect_ratio]
    scene = _background(picture, label=label)
    draw = ImageDraw.Draw(scene)
    room = (width - 2 * _MARGIN, height - _STRIP - 3 * _MARGIN)
    font, lines = _fit(prompt, room=room)
    # An outline keeps letters apart from an image behind them, but blurs small ones on a plain background.
    outline = 0 if picture.background is None else 1
    draw.multiline_text((_MARGIN, _MARGIN), "\n".join(lines), font=font, fill="white", stroke_width=outline, stroke_fill="black", spacing=6)
    small = _font(12, picture.title + label)
    top = height - _STRIP - _MARGIN
    for text in (picture.title, f"happyhorse-emulator · {label}"):
        for line in _wrap(text, font=small, width=room[0])[:2]:
            draw.text((_MARGIN, top), line, font=small, fill=(225, 225, 235), stroke_width=outline, stroke_fill="black")
            top += 16
    return scene


def _background(picture: Picture, *, label: str) -> Image.Image:
    size = FRAME_SIZES[picture.aspect_ratio]
    if picture.background is not None:
        with Image.open(picture.background) as uploaded:
            fitted = ImageOps.fit(uploaded.convert("RGB"), size)
        return Image.blend(fitted.filter(ImageFilter.GaussianBlur(3)), Image.new("RGB", size), 0.35)
    hue = hashlib.sha256(label.encode()).digest()[0] / 256
    dark, bright = (tuple(round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.7, value)) for value in (0.12, 0.45))
    return ImageOps.colorize(Image.linear_gradient("L").resize(size), black=bright, white=dark)


def _draw_motion(image: Image.Image, *, seconds: float, length: float, font: Font) -> None:
    """Draw the bouncing ball, the progress bar and the elapsed time."""
    width, height = image.size
    draw = ImageDraw.Draw(image)
    radius, floor = 11, height - _STRIP - _MARGIN - 18
    across = abs((seconds / 3) % 2 - 1)
    x = _MARGIN + radius + (width - 2 * (_MARGIN + radius)) * across
    y = floor - 26 * abs(math.sin(seconds * 2.4))
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(255, 196, 61), outline="black")
    draw.rectangle((0, height - 6, width * seconds / max(length, 1e-9), height), fill=(255, 196, 61))
    draw.text(
        (width - _MARGIN, height - 12),
        f"{seconds:4.1f} / {length:g} s",
        font=font,
        fill="white",
        anchor="rs",
        stroke_width=1,
        stroke_fill="black",
    )


def _fit(text: str, *, room: tuple[int, int]) -> tuple[Font, list[str]]:
    """Choose the largest font in which the text fits; what does not even fit in the smallest is cut off with an ellipsis."""
    width, height = room
    for size in (34, 30, 26, 22, 19, 16, 14, 12, 10):
        font = _font(size, text)
        lines = _wrap(text, font=font, width=width)
        fitting = max(1, int(height // (size * 1.2 + 6)))
        if len(lines) <= fitting:
            break
    else:
        lines = [*lines[: fitting - 1], lines[fitting - 1] + " …"]
    return font, lines


def _wrap(text: str, *, font: Font, width: int) -> list[str]:
    """Break at spaces, and inside a word only where a single word is too long (Chinese and Japanese have no spaces)."""
    lines: list[str] = []
    for paragraph in text.splitlines():
        line = ""
        for word in paragraph.split(" "):
            longer = f"{line} {word}" if line else word
            if font.getlength(longer) <= width:
                line = longer
                continue
            if line:
                lines.append(line)
            line = ""
            for letter in word:
                if line and font.getlength(line + letter) > width:
                    lines.append(line)
                    line = ""
                line += letter
        lines.append(line)
    return lines


def _font(size: int, text: str) -> Font:
    if any(ord(letter) > _LAST_COVERED and not 0x2000 <= ord(letter) < 0x2070 for letter in text):
        for name in _WIDER_FONTS:
            try:
                return ImageFont.truetype(name, size)
            except OSError:  # not installed here; the next may be
                continue
    return ImageFont.load_default(size)
