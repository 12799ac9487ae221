"""The requests of docs/how-to/deploy-over-the-api.md, as they stand there."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from tests.integration.deployments.admin_client import AdminClient, document
from tests.integration.engine_harness import Harness

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "deploy-over-the-api.md"
SEEN = "5a0c1e1b6a4f4d0e"


def block(start: str) -> str:
    """The indented lines from one that starts like this."""
    found = re.search(rf"^    {re.escape(start)}.*\n(?:    .*\n)*", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None
    return found[0]


@pytest.fixture(params=["folder", "database"])
def options(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {"flows": None} if request.param == "database" else {}


async def test_the_flow_of_the_page_is_deployed_if_its_version_is_the_one_that_was_seen(
    harness: Harness, options: dict[str, Any]
) -> None:
    command = shlex.split(block("curl").replace("\\\n", " "))
    method, url = command[command.index("-X") + 1], next(part for part in command if part.startswith("https://"))
    given = [command[at + 1].partition(": ") for at, part in enumerate(command) if part == "-H"]
    headers = {name: value for name, _, value in given if name != "Authorization"}
    assert headers.keys() == {"If-Match"}
    assert "--json" in command, "curl says then that it sends JSON"
    headers["Content-Type"] = "application/json"
    path = url.partition("/api/v1/")[2]
    async with harness.engine(**options) as engine:
        api = AdminClient(harness, engine)
        await api.deploy(document("orders", title="Orders"))
        assert (await api.ask(method, path, document("orders", 1), headers))[0] == 412
        headers["If-Match"] = await api.etag(path)
        assert (await api.ask(method, path, document("orders", 1), headers))[0] == 200


async def test_the_set_of_the_page_is_deployed(harness: Harness, options: dict[str, Any]) -> None:
    request, _, body = block("POST /api/v1/deployments").partition("\n")
    method, _, path = request.strip().partition(" ")
    async with harness.engine(**options) as engine:
        api = AdminClient(harness, engine)
        made = await api.deploy(document("orders"), document("old-orders"))
        assert (await api.ask(method, path.removeprefix("/api/v1/"), json.loads(body)))[0] == 412
        versions = {one["flow_id"]: one["version"] for one in made["deployment"]["flows"]}
        given = json.loads(body.replace(SEEN, versions["orders"]))
        status, answer = await api.ask(method, path.removeprefix("/api/v1/"), given)
        assert status == 200, answer
        assert sorted(engine.catalog.entries) == ["invoices", "orders"]
        assert (await api.ask("GET", "flows/invoices/cases"))[1] == given["cases"]["invoices"]
        assert answer["deployment"]["message"] == "Invoices with tax"
