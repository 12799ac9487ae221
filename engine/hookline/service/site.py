"""The pages of sites: the HTML page for each path, its assets, and the licenses of their code."""

import asyncio
import gzip
import mimetypes
import re
import secrets
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import Final

from quart import Blueprint, Response, request
from werkzeug.exceptions import NotFound

from hookline.kernel.errors import HooklineError
from hookline.sdk.site_pages import NONCE, Site
from hookline.service.admin.hosts import Hosts
from hookline.service.admin.responses import problem_response
from hookline.service.sandbox_headers import POLICY_HEADER

_POLICY: Final = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
_ASSET: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*\Z")
_KEPT_FOREVER: Final = "public, max-age=31536000, immutable"
"""For assets: one with another content has another name."""
_NO_SITE: Final = "There is no console: the plugin hookline_console, which is part of Hookline, isn't installed."


def missing_pages(sites: Collection[Site]) -> str | None:
    """Why there are no pages at `/`, with the remedy; None if there are."""
    if not sites:
        return _NO_SITE
    return next((site.remedy for site in sites if not site.is_built), None)


def sites_blueprint(sites: Collection[Site], hosts: Hosts) -> Blueprint:
    """Create the pages of all sites; without one, `/` says so. They need no token: the data comes from the API."""
    pages = Blueprint("sites", __name__)
    pages.register_error_handler(HooklineError, problem_response)

    @pages.before_request
    async def check_host() -> None:
        hosts.check_request(request)

    for site in sites:
        _add(pages, site)
    if not sites:
        pages.add_url_rule("/", "no_site", _explain(_NO_SITE))
    return pages


def _add(pages: Blueprint, site: Site) -> None:
    assets = _Assets(site.folder / "assets")

    async def page(**_: str) -> Response:
        # Read each time, because an upgrade may replace it.
        html = await asyncio.to_thread((site.folder / "index.html").read_text, encoding="utf-8")
        nonce = secrets.token_urlsafe(16)
        response = Response(html.replace(NONCE, nonce), content_type="text/html; charset=utf-8")
        response.headers[POLICY_HEADER.decode()] = _POLICY.format(nonce=nonce)
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
        return response

    async def asset(name: str) -> Response:
        return await asyncio.to_thread(assets.response, name, request.accept_encodings.quality("gzip") > 0)

    async def licenses() -> Response:
        text = await asyncio.to_thread(site.licenses.read_text, encoding="utf-8")
        return Response(text, content_type="text/plain; charset=utf-8")

    view = page if site.is_built else _explain(site.remedy)
    pages.add_url_rule("/", f"{site.name}_page", view)
    for path in site.paths:
        pages.add_url_rule(f"/{path}", f"{site.name}_{path}", view)
        pages.add_url_rule(f"/{path}/<path:rest>", f"{site.name}_{path}_rest", view)
    pages.add_url_rule("/assets/<name>", f"{site.name}_asset", asset)
    pages.add_url_rule("/licenses", f"{site.name}_licenses", licenses)


class _Assets:
    """The assets of a site, compressed once. Their names tell their content, so they are never read again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._compressed: dict[str, bytes] = {}

    def response(self, name: str, compressed: bool) -> Response:
        path = self._folder / name
        if not _ASSET.match(name) or not path.is_file():
            raise NotFound
        media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
        text = f"{media_type}; charset=utf-8" if media_type.startswith("text/") else media_type
        headers = {"Cache-Control": _KEPT_FOREVER, "Vary": "Accept-Encoding"}
        if not compressed:
            return Response(path.read_bytes(), 200, headers, content_type=text)
        if name not in self._compressed:
            self._compressed[name] = gzip.compress(path.read_bytes(), mtime=0)
        return Response(self._compressed[name], 200, headers | {"Content-Encoding": "gzip"}, content_type=text)


def _explain(text: str) -> Callable[..., Awaitable[Response]]:
    async def explain(**_: str) -> Response:
        return Response(f"{text}\n", 404, content_type="text/plain; charset=utf-8")

    return explain
