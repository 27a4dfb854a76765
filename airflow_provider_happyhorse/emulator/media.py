"""Files that the emulator serves like a CDN: uploads and results, rendered at their first download."""

from __future__ import annotations

import asyncio
import re
import secrets
import shutil
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, PlainTextResponse

from .jobs import Job, Jobs
from .openapi import in_path
from .pictures import CONTENT_TYPES, Extension

_FILE = {"content": {content_type: {"schema": {"type": "string", "format": "binary"}} for content_type in CONTENT_TYPES.values()}}
_TEXT = {"content": {"text/plain": {"schema": {"type": "string"}}}}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file; HEAD has the same headers", **_FILE},
    206: {"description": "The part that Range asked for", **_FILE},
    304: {"description": "If-None-Match names the file's ETag"},
    400: {"description": "A Range that is none", **_TEXT},
    403: {"description": "Expired (as a fault only)", "content": {"application/xml": {"schema": {"type": "string"}}}},
    404: {"description": "No such file, or not yet", **_TEXT},
    416: {"description": "A Range outside the file", **_TEXT},
}
_UPLOAD_PATH = re.compile(r"/media/uploads/([0-9a-f]{32}\.(?:jpg|png|webp))")


class Media:
    """Uploads and rendered results in a temporary folder that is removed at exit.

    Two threads render: PyAV and Pillow leave the interpreter free for most of the time, and unlike a process a thread can neither be left
    over nor hold up the exit, because it asks before each frame whether to go on.
    """

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="happyhorse-emulator-"))
        (self._folder / "uploads").mkdir()
        self._stopping = threading.Event()
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="render")
        self._renderings: dict[str, asyncio.Task[Path]] = {}

    def close(self) -> None:
        """Stop rendering and remove all files."""
        self._stopping.set()
        self._threads.shutdown(wait=True, cancel_futures=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    def reset(self) -> None:
        """Remove the uploads. Results stay until exit: they are under ids that nobody asks for any more, and one may be in the making."""
        for upload in (self._folder / "uploads").iterdir():
            upload.unlink()
        self._renderings.clear()

    def keep_upload(self, content: bytes, *, extension: Extension) -> str:
        """Keep an uploaded image and return its path on this server."""
        name = f"{secrets.token_hex(16)}.{extension}"
        (self._folder / "uploads" / name).write_bytes(content)
        return f"/media/uploads/{name}"

    def upload(self, name: str) -> Path | None:
        """Return the file of an upload by name."""
        return self._upload_at(f"/media/uploads/{name}")

    def uploaded_image(self, url: str) -> Path | None:
        """Return the file behind a URL if it was uploaded to this emulator; other URLs are never fetched."""
        return self._upload_at(urlsplit(url).path)

    def _upload_at(self, path: str) -> Path | None:
        found = _UPLOAD_PATH.fullmatch(path)
        if found is None:
            return None
        file = self._folder / "uploads" / found[1]
        return file if file.is_file() else None

    async def result(self, job: Job) -> Path:
        """Return the file of a finished job, rendering it once however many ask at the same time."""
        task = self._renderings.get(job.file_name)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._render(job))
            self._renderings[job.file_name] = task
        # Shielded: the client that asked first may hang up while others still wait for the same file.
        return await asyncio.shield(task)

    async def _render(self, job: Job) -> Path:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._render_now, job)
        except BaseException:
            # The next download tries again.
            self._renderings.pop(job.file_name, None)
            raise

    def _render_now(self, job: Job) -> Path:
        # Imported here: the first render pays for PyAV and Pillow, not the start.
        from .render import render

        finished = self._folder / job.file_name
        unfinished = finished.with_suffix(".part")
        render(job.picture, label=job.id, target=unfinished, stopped=self._stopping.is_set)
        return unfinished.rename(finished)


def media_routes(*, media: Media, jobs: Jobs, clock: Callable[[], float]) -> APIRouter:
    """Serve ``/media``: no key, Range, ETag, HEAD."""
    router = APIRouter(tags=["media"])

    described: dict[str, Any] = {"response_class": Response, "responses": _ANSWERS, "openapi_extra": in_path("name")}

    @router.get("/media/uploads/{name}", **described)
    @router.head("/media/uploads/{name}", include_in_schema=False)
    async def uploaded(request: Request) -> Response:
        file = media.upload(request.path_params["name"])
        return _not_found() if file is None else _file(file, request)

    @router.get("/media/{name}", **described)
    @router.head("/media/{name}", include_in_schema=False)
    async def result(request: Request) -> Response:
        name = request.path_params["name"]
        job = jobs.get(name.partition(".")[0])
        if job is None or name != job.file_name or job.state(at=clock()) != "succeeded":
            return _not_found()
        return _file(await media.result(job), request)

    return router


def _file(file: Path, request: Request) -> Response:
    answer = FileResponse(file, media_type=CONTENT_TYPES[file.suffix[1:]], stat_result=file.stat())
    if request.headers.get("if-none-match") == answer.headers["etag"]:
        return Response(status_code=304, headers={"etag": answer.headers["etag"]})
    return answer


def _not_found() -> Response:
    return PlainTextResponse("Not found", status_code=404)
