"""The pages of sites: what is sent for which path, with which headers, and what a server without a site says."""

import gzip
import re
from pathlib import Path

import pytest
from docs.render_console import CREDENTIAL_TYPES, FILE, api_description, credential_types
from quart.typing import TestClientProtocol as Client

from hookline.api import Site
from hookline.service.admin.hosts import Hosts
from hookline.service.app import create_pages
from hookline.service.site import sites_blueprint

PAGE = '<!doctype html><link rel="stylesheet" nonce="__NONCE__" href="/assets/main-1a2b.css">'
SCRIPT = b"console" * 1000


@pytest.fixture
def site(tmp_path: Path) -> Site:
    folder = tmp_path / "static"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text(PAGE)
    (folder / "assets" / "main-1a2b.js").write_bytes(SCRIPT)
    (tmp_path / "licenses.txt").write_text("All of them.")
    return Site("shop", folder, ("orders",), tmp_path / "licenses.txt", "build it")


def client(*sites: Site) -> Client:
    return create_pages((sites_blueprint(sites, Hosts()),)).test_client()


@pytest.mark.console_rule("K5")
@pytest.mark.parametrize("path", ["/", "/orders", "/orders/4711", "/orders/a/b"])
async def test_each_path_of_a_site_has_its_page_with_a_nonce_of_its_own(site: Site, path: str) -> None:
    nonces = set()
    for _ in range(2):
        response = await client(site).get(path)
        assert response.status_code == 200
        assert response.headers["Cache-Control"] == "no-store"
        (nonce,) = set(re.findall(r"'nonce-([\w-]{20,})'", response.headers["Content-Security-Policy"]))
        assert f'nonce="{nonce}"' in await response.get_data(as_text=True)
        nonces.add(nonce)
    assert len(nonces) == 2


@pytest.mark.console_rule("K5")
async def test_the_page_may_load_nothing_from_elsewhere(site: Site) -> None:
    response = await client(site).get("/")
    policy = re.sub(r"'nonce-[^']+'", "'nonce-…'", response.headers["Content-Security-Policy"])
    assert policy == (
        "default-src 'none'; script-src 'nonce-…'; style-src 'nonce-…'; img-src 'self' data:; "
        "connect-src 'self'; font-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    )
    assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.console_rule("K5")
async def test_an_asset_is_kept_forever_and_is_compressed_for_who_takes_that(site: Site) -> None:
    plain = await client(site).get("/assets/main-1a2b.js")
    assert await plain.get_data() == SCRIPT
    assert plain.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert plain.content_type.startswith("text/javascript")
    compressed = await client(site).get("/assets/main-1a2b.js", headers={"Accept-Encoding": "gzip, br"})
    assert compressed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(bytes(await compressed.get_data())) == SCRIPT


@pytest.mark.parametrize(
    "path", ["/assets/other.js", "/assets/..%2Findex.html", "/assets/.hidden", "/other", "/orders2"]
)
async def test_what_is_no_part_of_a_site_is_not_found(site: Site, path: str) -> None:
    (site.folder / "assets" / ".hidden").write_text("hidden")
    response = await client(site).get(path)
    assert response.status_code == 404
    assert response.content_type == "application/problem+json"


@pytest.mark.console_rule("K3")
async def test_the_licenses_of_its_code_can_be_read(site: Site) -> None:
    response = await client(site).get("/licenses")
    assert await response.get_data(as_text=True) == "All of them."
    assert response.content_type == "text/plain; charset=utf-8"


@pytest.mark.console_rule("K2")
async def test_a_site_that_was_not_built_says_how_to_get_it(site: Site) -> None:
    (site.folder / "index.html").unlink()
    response = await client(site).get("/orders/4711")
    assert response.status_code == 404
    assert await response.get_data(as_text=True) == "build it\n"


async def test_a_server_without_a_site_says_so(site: Site) -> None:
    response = await client().get("/")
    assert response.status_code == 404
    assert "There is no console" in await response.get_data(as_text=True)
    assert (await client().get("/orders")).status_code == 404


@pytest.mark.console_rule("K6")
@pytest.mark.parametrize("path", ["/", "/orders", "/assets/main-1a2b.js"])
async def test_pages_are_not_at_foreign_hosts(site: Site, path: str) -> None:
    response = await client(site).get(path, headers={"Host": "evil.example"})
    assert response.status_code == 421


@pytest.mark.console_rule("K4")
def test_the_client_of_the_console_is_made_from_the_present_api() -> None:
    written = FILE.read_text(encoding="utf-8")
    assert written == api_description(), "run `python docs/render_console.py`, and `npm run api` in the console's web/"


@pytest.mark.console_rule("K4")
def test_the_forms_of_the_console_are_tested_with_the_present_types_of_credentials() -> None:
    written = CREDENTIAL_TYPES.read_text(encoding="utf-8")
    assert written == credential_types(), "run `python docs/render_console.py`"
