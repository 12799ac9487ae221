"""A client of the admin API of an engine in this process, and what is known of its flows."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from quart.typing import TestClientProtocol
from tests.integration.engine_harness import Harness

from hookline.engine import Engine
from hookline.service.admin import blueprints
from hookline.service.app import create_pages

TOKEN: Final = "a-token-of-the-tests"


def document(flow_id: str, number: int = 0, **more: Any) -> dict[str, Any]:
    """A flow whose versions differ by a number."""
    trigger = {"use": "webhook", "with": {"verify": "none"}}
    steps = [{"id": "m", "use": "map", "with": {"body": number}}]
    return {"id": flow_id, "trigger": trigger, "steps": steps, **more}


def calling(flow_id: str, called: str) -> dict[str, Any]:
    """A flow that calls another."""
    return document(flow_id, steps=[{"id": "c", "use": "flow", "with": {"id": called}}])


class AdminClient:
    """Sends requests with the server's own token, or another one."""

    def __init__(self, harness: Harness, engine: Engine, token: str = TOKEN) -> None:
        self.harness = harness
        self.engine = engine
        self._token = token
        self._client: TestClientProtocol = create_pages(blueprints(engine, TOKEN)).test_client()

    async def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """Send a request; gives the status, and the decoded body of the response."""
        given = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json", **(headers or {})}
        data = None if body is None else json.dumps(body)
        response = await self._client.open(f"/api/v1/{path}", method=method, headers=given, data=data)
        content = await response.get_data(as_text=False)
        return response.status_code, json.loads(content) if content else None

    async def etag(self, path: str) -> str:
        """The ETag of what a path gives."""
        response = await self._client.get(f"/api/v1/{path}", headers={"Authorization": f"Bearer {self._token}"})
        return response.headers["ETag"]

    async def put(self, given: Mapping[str, Any], query: str = "", **headers: str) -> tuple[int, Any]:
        """Deploy one flow; `if_match` is a header, and so are others."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.ask("PUT", f"flows/{given['id']}{query}", given, named)

    async def deploy(self, *documents: Mapping[str, Any], **more: Any) -> Any:
        """Deploy a set of flows that isn't rejected."""
        status, answer = await self.ask("POST", "deployments", {"flows": {one["id"]: one for one in documents}, **more})
        assert status == 200, answer
        return answer

    async def limited(self, *flows: str, scope: str = "author") -> "AdminClient":
        """A client with a token that is limited to some flows."""
        status, made = await self.ask("POST", "tokens", {"name": "-".join(flows), "scopes": [scope], "flows": flows})
        assert status == 201, made
        return AdminClient(self.harness, self.engine, made["token"])

    def file(self, name: str) -> Path:
        """A file of the folder."""
        return self.harness.folder / "flows" / name

    async def stands(self) -> Any:
        """All that a deployment may change: what is served, the history, the audit, and the files."""
        store = self.engine.store
        served = {one.flow_id: one for one in await store.served_flows()}
        texts = {
            flow_id: (await store.flow_document(flow_id, one.version), await self.engine.flow_storage.cases(flow_id))
            for flow_id, one in served.items()
        }
        active = {key: entry.flow and entry.flow.source for key, entry in self.engine.catalog.entries.items()}
        files = {file.name: file.read_bytes() for file in self.file("").iterdir()}
        history = ((await store.deployments(limit=200)).items, (await store.audit(limit=200)).items)
        return served, texts, active, files, history, await store.unwritten_files()
