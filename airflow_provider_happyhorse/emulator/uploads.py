"""The upload form of happy-horse.ai: one image, JPG, PNG or WebP by its content, at most 10 MB."""

from __future__ import annotations

import asyncio
import io

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from .pictures import Extension
from .refusals import Refusal, invalid

# "Max 10MB"; the page does not say which megabyte, so the larger reading is emulated.
MAX_UPLOAD_BYTES = 10 * 1024 * 1024
_FORM_OVERHEAD = 64 * 1024
_FORMATS: dict[str, Extension] = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}


async def read_upload(request: Request) -> tuple[bytes, Extension]:
    """Read the multipart field ``image`` and judge it by its content, not by its name or declared type.

    :raises Refusal: ``invalid`` for another form, more than 10 MB, or content that is no such image
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > MAX_UPLOAD_BYTES + _FORM_OVERHEAD:
        raise _too_large()
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise invalid("image", "must be sent as multipart/form-data")
    try:
        form = await request.form(max_files=1, max_fields=1)
    except HTTPException as error:
        raise invalid("body", str(error.detail)) from None
    except ValueError as error:
        # Older versions of Starlette let the parser's own error through.
        raise invalid("body", str(error)) from None
    try:
        others = [name for name in form if name != "image"]
        if others:
            raise invalid(others[0], "unknown field")
        image = form.get("image")
        if not isinstance(image, UploadFile):
            raise invalid("image", "a file is required")
        content = await image.read(MAX_UPLOAD_BYTES + 1)
    finally:
        await form.close()
    if len(content) > MAX_UPLOAD_BYTES:
        raise _too_large()
    extension = await asyncio.to_thread(_image_format, content)
    if extension is None:
        raise invalid("image", "must be a JPG, PNG or WebP image")
    return content, extension


def _too_large() -> Refusal:
    return invalid("image", f"must not be larger than 10 MB ({MAX_UPLOAD_BYTES} bytes)")


def _image_format(content: bytes) -> Extension | None:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=tuple(_FORMATS)) as image:
            image.load()
            return _FORMATS[image.format or ""]
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        # Pillow's ways of saying that this is not a whole image of these formats.
        return None
