"""The one way in which looking at a file fails."""

from __future__ import annotations


class NotMedia(Exception):
    """The bytes are no whole MP4, PNG, JPEG or WebP; the text says what they look like. Reading the same bytes again changes nothing."""
