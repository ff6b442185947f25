"""The page for people: static files, served to anybody, that hold no data.

What it shows it asks for over the same API as every client, with the token that the person gives
it. The policy that its headers state lets nothing else run or load, and no text become HTML.
"""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_FOLDER = Path(__file__).with_name("page")
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
    "require-trusted-types-for": "'script'",  # innerHTML and its like are errors
    "trusted-types": "'none'",
}
HEADERS = {
    "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in _POLICY.items()),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
_FILES = {
    "/": _FOLDER / "index.html",
    "/page.css": _FOLDER / "page.css",
    "/page.js": _FOLDER / "page.js",
    "/page.svg": _FOLDER / "page.svg",
}
_CONTENT = {path: file.read_bytes() for path, file in _FILES.items()}
PATHS = tuple(_FILES)
"""What needs no token."""


async def _file(request: Request) -> Response:
    path = request.scope["path"]
    media_type = _TYPES[_FILES[path].suffix]
    return Response(_CONTENT[path], headers=HEADERS, media_type=media_type)


router = APIRouter(routes=[Route(path, _file) for path in PATHS])
