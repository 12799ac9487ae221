"""What commands ask of a server about executions: the lists, what one did, and what starts one."""

from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any, Protocol

from hookline.cli.access.local import Local, NoServer, as_json, page_of
from hookline.cli.access.remote import Remote, execution_path, flow_path
from hookline.cli.event_stream import follow
from hookline.kernel.errors import ExecutionNotFound
from hookline.model.execution import State
from hookline.operations.explain import explain
from hookline.secrets.resume_tokens import ResumeTokens
from hookline.service.admin.executions import filter_from, recorded, recorded_one
from hookline.service.views.executions import execution_view, page_view


class ExecutionAccess(Protocol):
    """Values are JSON, shaped as the admin API shapes them."""

    async def executions(
        self, flow_id: str | None, state: State | None, cursor: str | None, limit: int, **chosen: str | None
    ) -> Mapping[str, Any]:
        """A page of executions; `chosen` are the other filters of the admin API."""
        ...

    async def execution(self, execution_id: str) -> Mapping[str, Any]:
        """Raises ExecutionNotFound."""
        ...

    async def explain(self, execution_id: str, field: str) -> Mapping[str, Any]:
        """Raises ExecutionNotFound and NotExplained."""
        ...

    def events(self, flow_id: str | None) -> AsyncIterator[Mapping[str, Any]]:
        """What happens from now on: `event` and `data`. Raises NoServer."""
        ...

    async def start(self, flow_id: str, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """Start a flow with a message: `body, headers, dedupe_key`. Raises NoServer."""
        ...

    async def recordings(self, flow_id: str, since: str | None, cursor: str | None, limit: int) -> Mapping[str, Any]:
        """Executions of a flow that have ended, with their messages and journals."""
        ...

    async def recording(self, execution_id: str) -> Mapping[str, Any]:
        """One of them, with `contents`. Raises ExecutionNotFound, and IllegalStateChange while it hasn't ended."""
        ...


class LocalExecutions(Local):
    """Without a server."""

    async def executions(
        self, flow_id: str | None, state: State | None, cursor: str | None, limit: int, **chosen: str | None
    ) -> Mapping[str, Any]:
        given = {"flow_id": flow_id, "state": state, **chosen}
        asked = filter_from({name: str(value) for name, value in given.items() if value is not None})
        page = await page_of(self._store.executions(asked, cursor=cursor, limit=limit))
        return as_json(page_view(page))

    async def execution(self, execution_id: str) -> Mapping[str, Any]:
        # Without a server there is no URL, unless the settings say which one it has.
        public_url = self._settings.public_url
        urls = None if public_url is None else partial(ResumeTokens(self._keys).url, public_url)
        view = await execution_view(self._store, execution_id, urls)
        if view is None:
            raise ExecutionNotFound(f"there is no execution {execution_id!r}")
        return as_json(view)

    async def explain(self, execution_id: str, field: str) -> Mapping[str, Any]:
        self._catalog.refresh()
        return as_json(await explain(self._store, self._catalog, execution_id, field))

    def events(self, flow_id: str | None) -> AsyncIterator[Mapping[str, Any]]:
        raise NoServer("no server runs over this database, so nothing happens: start it with `hookline serve`")

    async def start(self, flow_id: str, message: Mapping[str, Any]) -> Mapping[str, Any]:
        raise NoServer(
            f"no server runs over this database: start one with `hookline serve`, or run the flow once by itself with "
            f"`hookline run {flow_id}`"
        )

    async def recordings(self, flow_id: str, since: str | None, cursor: str | None, limit: int) -> Mapping[str, Any]:
        return as_json(await page_of(recorded(self._store, flow_id, since, cursor, limit)))

    async def recording(self, execution_id: str) -> Mapping[str, Any]:
        blobs = self._open_blobs()
        try:
            return as_json(await recorded_one(self._store, blobs, execution_id))
        finally:
            await blobs.close()


class RemoteExecutions(Remote):
    """Through a running server's admin API."""

    async def executions(
        self, flow_id: str | None, state: State | None, cursor: str | None, limit: int, **chosen: str | None
    ) -> Mapping[str, Any]:
        where = {"flow_id": flow_id, "state": None if state is None else state.value, **chosen}
        query = {**where, "cursor": cursor, "limit": limit}
        found: Mapping[str, Any] = await self._ask("GET", "/executions", query)
        return found

    async def execution(self, execution_id: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = await self._ask("GET", execution_path(execution_id))
        return found

    async def explain(self, execution_id: str, field: str) -> Mapping[str, Any]:
        path = f"{execution_path(execution_id)}/provenance"
        found: Mapping[str, Any] = await self._ask("GET", path, {"field": field})
        return found

    async def events(self, flow_id: str | None) -> AsyncIterator[Mapping[str, Any]]:
        query = {} if flow_id is None else {"flow_id": flow_id}
        async for event in follow(self._session, f"{self._api}/events", query):
            yield event

    async def start(self, flow_id: str, message: Mapping[str, Any]) -> Mapping[str, Any]:
        started: Mapping[str, Any] = await self._ask("POST", f"{flow_path(flow_id)}/start", body=message)
        return started

    async def recordings(self, flow_id: str, since: str | None, cursor: str | None, limit: int) -> Mapping[str, Any]:
        query = {"since": since, "cursor": cursor, "limit": limit}
        found: Mapping[str, Any] = await self._ask("GET", f"{flow_path(flow_id)}/recordings", query)
        return found

    async def recording(self, execution_id: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = await self._ask("GET", f"{execution_path(execution_id)}/recording")
        return found
