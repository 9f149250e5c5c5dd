"""The files that pages load, kept in memory with their compressed form. Their addresses carry a hash of their content,
so that browsers keep them."""

import gzip
import hashlib
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}


class File(NamedTuple):
    content: bytes
    compressed: bytes
    type: str
    digest: str


@cache
def static_files() -> dict[str, File]:
    return dict(found(files("usage_tracker.web") / "static", ""))


def found(folder: Traversable, prefix: str) -> list[tuple[str, File]]:
    entries: list[tuple[str, File]] = []
    for entry in folder.iterdir():
        kind = TYPES.get("." + entry.name.rpartition(".")[2])
        if entry.is_dir():
            entries += found(entry, f"{prefix}{entry.name}/")
        elif kind and not entry.name.endswith(".entry.js"):
            content = entry.read_bytes()
            file = File(content, gzip.compress(content, 9, mtime=0), kind, hashlib.sha256(content).hexdigest()[:12])
            entries.append((prefix + entry.name, file))
    return entries


def address_of(name: str) -> str:
    return f"/static/{name}?v={static_files()[name].digest}"


async def serve_file(request: Request) -> Response:
    file = static_files().get(request.path_params["name"])
    if file is None:
        return Response("There is no such file.\n", status_code=404, media_type="text/plain")
    headers = {"ETag": f'"{file.digest}"', "Vary": "Accept-Encoding", "Cache-Control": "no-cache"}
    if request.query_params.get("v") == file.digest:
        headers["Cache-Control"] = "public, max-age=31536000, immutable"
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(file.compressed, headers={**headers, "Content-Encoding": "gzip"}, media_type=file.type)
    return Response(file.content, headers=headers, media_type=file.type)
