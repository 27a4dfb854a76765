"""What a result shows, as a value: nothing here draws, so that answering requests needs neither PyAV nor Pillow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Extension = Literal["mp4", "png", "jpg", "webp"]

# Small, even (yuv420p halves both sides) and exactly in ratio.
FRAME_SIZES: dict[str, tuple[int, int]] = {
    "16:9": (640, 360),
    "9:16": (360, 640),
    "1:1": (480, 480),
    "4:3": (512, 384),
    "3:4": (384, 512),
    "21:9": (672, 288),
}
FRAMES_PER_SECOND = 24

CONTENT_TYPES: dict[str, str] = {"mp4": "video/mp4", "png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One prompt and how long it is on screen, in seconds (0 for a still image)."""

    prompt: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A video of one or more shots, or a still image.

    :param title: one line about the request: model, mode, ratio, length
    :param aspect_ratio: a key of :data:`FRAME_SIZES`
    :param background: an image that was uploaded to this emulator, None for a plain background
    """

    title: str
    shots: tuple[Shot, ...]
    aspect_ratio: str
    extension: Extension
    background: Path | None = None

    @property
    def seconds(self) -> float:
        """Length of the whole video."""
        return sum(shot.seconds for shot in self.shots)
