"""An engine with Acme's connector, whose credential `prod` an authorization server of the test gives tokens for."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from yarl import URL

from hookline.engine import Engine
from hookline.kernel.errors import HooklineError
from hookline.model.access import SYSTEM
from hookline.testing.connector_harness import plugin_of
from tests.integration.engine_harness import Harness

HERE = {"egress_allow": ("127.0.0.1",)}


@asynccontextmanager
async def running(harness: Harness, connector: Any, **options: Any) -> AsyncIterator[Engine]:
    harness.plugins = [plugin_of(connector)]
    async with harness.engine(**HERE, **options) as engine:
        yield engine


async def agree(engine: Engine, name: str = "prod") -> None:
    """Authorize a credential as somebody does in a browser."""
    made = engine.authorizations.begin(name, "http://127.0.0.1:9/cb", by=SYSTEM)
    done = await engine.authorizations.finish(await redirected(made.url), engine.http)
    assert done.state == "done", done.message


async def redirected(url: str) -> str:
    """The query with which the service sends the browser back."""
    async with aiohttp.ClientSession() as browser, browser.get(url, allow_redirects=False) as answer:
        assert answer.status == 302, await answer.text()
        return URL(answer.headers["Location"], encoded=True).raw_query_string


async def failure(engine: Engine, rejected: str | None = None) -> Any:
    with pytest.raises(HooklineError) as caught:
        await engine.tokens.get("prod", rejected)
    return caught.value


def info(engine: Engine) -> Any:
    return engine.credentials.list()[0].tokens
