"""How commands reach what a server holds: through its admin API where one runs, and otherwise directly.

A SQLite file has one writing process (the server), and so has for now a PostgreSQL database.
"""

import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Protocol, TypeVar
from urllib.parse import quote, urlsplit

import aiohttp
import msgspec

from hookline.cli.event_stream import follow
from hookline.cli.flow_access import DirectFlows, FlowAccess, RemoteFlows
from hookline.cli.kept_access import DirectKept, KeptAccess, RemoteKept
from hookline.cli.local_flow import local_flow
from hookline.cli.server_file import find
from hookline.clock import Clock
from hookline.config import Settings
from hookline.discovery import discover
from hookline.errors import CannotSign, ConfigError, ExecutionNotFound, HooklineError, Problem, StoreError
from hookline.flows.catalog import Catalog
from hookline.flows.compiled import CompiledFlow
from hookline.ids import Ids
from hookline.jsontypes import decode, encode
from hookline.model.execution import Outcome, State
from hookline.ports import Blobs, Cancel, Discard, End, Release, Reopen, Store
from hookline.registry import Registry
from hookline.resume_token import ResumeTokens
from hookline.runtime.aftermath import readable, told_of_end
from hookline.runtime.bulk import one_page
from hookline.runtime.credentials import Credentials
from hookline.runtime.execution_run import HookUrls
from hookline.runtime.explaining import explain
from hookline.runtime.flow_states import FlowStates
from hookline.runtime.operator_call import check_taken, operator_call
from hookline.runtime.purging import retention_in
from hookline.runtime.sealing import Sealing
from hookline.runtime.system_clock import SystemClock
from hookline.service import views
from hookline.service.recordings import recorded, recorded_one
from hookline.service.repairs import (
    cause_parts,
    chosen_by,
    chosen_of,
    dead_letters_view,
    done_view,
)
from hookline.service.signing import Signed, Unsigned, credential_of, hook_url, sign
from hookline.service.storage import storage_view
from hookline.vault import Vault, load_or_create_key, read_keys

_T = TypeVar("_T")


class Access(FlowAccess, KeptAccess, Protocol):
    """What a server holds. Values are JSON, shaped as the admin API shapes them."""

    async def executions(
        self, flow_id: str | None, state: State | None, cursor: str | None, limit: int, **chosen: str | None
    ) -> Mapping[str, Any]:
        """A page of executions; `chosen` are the other filters of the admin API."""
        ...

    async def execution(self, execution_id: str) -> Mapping[str, Any]:
        """Raises ExecutionNotFound."""
        ...

    async def retry(self, execution_id: str) -> None:
        """Raises ExecutionNotFound and IllegalStateChange."""
        ...

    async def cancel(self, execution_id: str) -> None:
        """Raises ExecutionNotFound and IllegalStateChange."""
        ...

    async def discard(self, execution_id: str) -> None:
        """Raises ExecutionNotFound and IllegalStateChange."""
        ...

    async def replay(
        self, execution_id: str, step: str | None, version: str, edit: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Raises NoServer, and what the server refuses."""
        ...

    async def many(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Do something with a page of executions; `request` as the admin API's. Raises NoServer for replays."""
        ...

    async def dead_letters(self, flow_id: str | None, cursor: str | None, limit: int) -> Mapping[str, Any]: ...

    async def dead_letter(self, cause: str) -> Mapping[str, Any]:
        """One group. Raises ExecutionNotFound."""
        ...

    async def explain(self, execution_id: str, field: str) -> Mapping[str, Any]:
        """Raises ExecutionNotFound and NotExplained."""
        ...

    def events(self, flow_id: str | None) -> AsyncIterator[Mapping[str, Any]]:
        """What happens from now on: `event` and `data`. Raises NoServer."""
        ...

    async def release(self, execution_id: str) -> None:
        """Raises ExecutionNotFound and IllegalStateChange."""
        ...

    async def resume(self, execution_id: str, step: str, body: bytes) -> None:
        """Call a step that waits; `body` is JSON. Raises ExecutionNotFound and IllegalStateChange."""
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

    async def refused(self, flow_id: str | None, cursor: str | None, limit: int) -> Mapping[str, Any]: ...

    async def storage(self) -> Mapping[str, Any]:
        """How much room everything takes, and what goes when."""
        ...

    async def credentials(self) -> list[Mapping[str, Any]]: ...

    async def put_credential(self, name: str, type: str, values: Mapping[str, Any]) -> None:
        """Raises CredentialError with every problem."""
        ...

    async def drop_credential(self, name: str) -> None:
        """Raises CredentialError."""
        ...

    async def rotate_credentials(self) -> int:
        """Encrypt with the first key what is under another; gives how many those were. Raises CredentialError."""
        ...

    async def sign(self, flow_id: str, message: Unsigned) -> Signed:
        """Sign a message with a flow's own credential; without a server it names its `base_url`.

        Raises FlowNotFound, CredentialError and CannotSign.
        """
        ...


class NoServer(HooklineError):
    """What was asked for takes a running server."""

    code = "server.missing"


class ServerRefused(HooklineError):
    """The server refused."""

    def __init__(self, message: str, code: str, problems: tuple[Problem, ...]) -> None:
        super().__init__(message)
        self.error_code = code
        self.problems = problems


@contextlib.asynccontextmanager
async def access(settings: Settings) -> AsyncIterator[Access]:
    """What the settings' server holds. Raises StoreError and ConfigError where it can't be reached."""
    running = find(settings)
    if running is not None:
        server, token = running
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
            yield _Remote(session, server.url)
        return
    clock = SystemClock()
    registry = discover()
    scheme = settings.db.partition(":")[0]
    factory = registry.backends.get(scheme)
    if factory is None:
        raise ConfigError(f"no plugin gives a database for {scheme}: URLs; `hookline plugins` shows which work")
    backend = factory(settings.db, clock=clock)
    await backend.open()
    try:
        keys = secret_keys(settings)
        vault = Vault(keys)
        credentials = Credentials(backend.store, vault, registry.credential_types, clock)
        # Without a server there is no URL, unless the settings say which one it has.
        urls = None if settings.public_url is None else partial(ResumeTokens(keys).url, settings.public_url)
        catalog = Catalog(settings.flows, registry, environment=os.environ)

        async def room() -> Mapping[str, Any]:
            blobs, budget = _blobs(settings, registry, clock), int(settings.disk_budget)
            catalog.refresh()
            kept = partial(retention_in, catalog, settings.retention)
            try:
                return _json(await storage_view(backend.store, blobs, kept, clock.now(), budget=budget, full=None))
            finally:
                await blobs.close()

        yield _Direct(
            backend.store,
            credentials,
            Sealing(vault),
            clock,
            lambda flow_id: local_flow(settings, registry, flow_id),
            urls,
            catalog,
            settings.public_url or "",
            room,
            lambda: _blobs(settings, registry, clock),
        )
    finally:
        await backend.close()


def secret_keys(settings: Settings) -> tuple[bytes, ...]:
    """The keys that encrypt credentials; where none are set, one is made and kept beside the database.

    Raises CredentialError where they can't be used.
    """
    if settings.secret_key is not None:
        return read_keys(settings.secret_key.get_secret_value())
    return load_or_create_key(settings.data_dir / "secret.key")


def _blobs(settings: Settings, registry: Registry, clock: Clock) -> Blobs:
    scheme = urlsplit(settings.blobs_url).scheme
    factory = registry.blob_stores.get(scheme)
    if factory is None:
        raise ConfigError(f"no plugin gives a blob store for {scheme}: URLs; `hookline plugins` shows which work")
    return factory(settings.blobs_url, clock=clock)


class _Direct(DirectFlows, DirectKept):
    """Without a server."""

    def __init__(
        self,
        store: Store,
        credentials: Credentials,
        sealing: Sealing,
        clock: Clock,
        flow: Callable[[str], CompiledFlow],
        urls: HookUrls | None,
        catalog: Catalog,
        public_url: str,
        room: Callable[[], Awaitable[Mapping[str, Any]]],
        blobs: Callable[[], Blobs],
    ) -> None:
        DirectFlows.__init__(self, catalog, FlowStates(store, clock), public_url)
        DirectKept.__init__(self, store, clock, catalog)
        self._urls = urls
        self._room = room
        self._blobs = blobs
        self._store = store
        self._credentials = credentials
        self._sealing = sealing
        self._clock = clock
        self._flow = flow

    async def executions(
        self, flow_id: str | None, state: State | None, cursor: str | None, limit: int, **chosen: str | None
    ) -> Mapping[str, Any]:
        given = {"flow_id": flow_id, "state": state, **chosen}
        asked = chosen_by({name: str(value) for name, value in given.items() if value is not None})
        page = await _page_of(self._store.executions(**asked, cursor=cursor, limit=limit))
        return _json(views.page_view(page))

    async def recordings(self, flow_id: str, since: str | None, cursor: str | None, limit: int) -> Mapping[str, Any]:
        return _json(await _page_of(recorded(self._store, flow_id, since, cursor, limit)))

    async def recording(self, execution_id: str) -> Mapping[str, Any]:
        blobs = self._blobs()
        try:
            return _json(await recorded_one(self._store, blobs, execution_id))
        finally:
            await blobs.close()

    async def cancel(self, execution_id: str) -> None:
        envelope = await readable(self._store, execution_id)
        end = End(execution_id, State.CANCELLED, Outcome.CANCELLED, self._clock.now())
        tells = None if envelope is None else told_of_end(envelope, end, None, Ids(self._clock).new())
        await self._store.commit([Cancel(execution_id, end.at, tells)])

    async def discard(self, execution_id: str) -> None:
        await self._store.commit([Discard(execution_id, self._clock.now())])

    async def replay(
        self, execution_id: str, step: str | None, version: str, edit: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        raise NoServer("no server runs over this database, and replays are its to make: start it with `hookline serve`")

    async def many(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        do = request["do"]
        deeds = {"retry": self.retry, "cancel": self.cancel, "discard": self.discard}
        if do not in deeds:
            await self.replay("", None, "", {})
        chosen = chosen_of({name: value for name, value in request.items() if isinstance(value, str)})
        page = one_page(self._store, chosen, deeds[do], cursor=request.get("cursor"), limit=request.get("limit", 50))
        return _json(done_view(await _page_of(page)))

    async def dead_letters(self, flow_id: str | None, cursor: str | None, limit: int) -> Mapping[str, Any]:
        page = await _page_of(self._store.dead_letters(flow_id=flow_id, cursor=cursor, limit=limit))
        return _json(views.PageView([dead_letters_view(one) for one in page.items], page.next))

    async def dead_letter(self, cause: str) -> Mapping[str, Any]:
        flow_id, own = cause_parts(cause)
        page = await self._store.dead_letters(flow_id=flow_id, cause=own, limit=1)
        if not page.items:
            raise ExecutionNotFound(f"there are no dead letters of the cause {cause!r}")
        return _json(dead_letters_view(page.items[0]))

    async def explain(self, execution_id: str, field: str) -> Mapping[str, Any]:
        self._catalog.refresh()
        return _json(await explain(self._store, self._catalog, execution_id, field))

    def events(self, flow_id: str | None) -> AsyncIterator[Mapping[str, Any]]:
        raise NoServer("no server runs over this database, so nothing happens: start it with `hookline serve`")

    async def execution(self, execution_id: str) -> Mapping[str, Any]:
        view = await views.execution_view(self._store, execution_id, self._urls)
        if view is None:
            raise ExecutionNotFound(f"there is no execution {execution_id!r}")
        return _json(view)

    async def retry(self, execution_id: str) -> None:
        if await self._store.execution(execution_id) is None:
            raise ExecutionNotFound(f"there is no execution {execution_id!r}")
        await self._store.commit([Reopen(execution_id, self._clock.now())])

    async def release(self, execution_id: str) -> None:
        await self._store.commit([Release(execution_id, self._clock.now())])

    async def resume(self, execution_id: str, step: str, body: bytes) -> None:
        call_id, now = Ids(self._clock).new(), self._clock.now()
        call = await operator_call(self._store, self._sealing, execution_id, step, body, call_id=call_id, at=now)
        (outcome,) = await self._store.commit([call])
        check_taken(outcome, call)

    async def start(self, flow_id: str, message: Mapping[str, Any]) -> Mapping[str, Any]:
        raise NoServer(
            f"no server runs over this database: start one with `hookline serve`, or run the flow once by itself with "
            f"`hookline run {flow_id}`"
        )

    async def refused(self, flow_id: str | None, cursor: str | None, limit: int) -> Mapping[str, Any]:
        try:
            page = await self._store.refused(flow_id=flow_id, cursor=cursor, limit=limit)
        except ValueError as error:
            raise ServerRefused(f"the cursor is wrong: {error}", "request.malformed", ()) from None
        return _json(views.refused_view(page))

    async def storage(self) -> Mapping[str, Any]:
        return await self._room()

    async def credentials(self) -> list[Mapping[str, Any]]:
        await self._credentials.load()
        return [_json(views.credential_view(info)) for info in self._credentials.list()]

    async def put_credential(self, name: str, type: str, values: Mapping[str, Any]) -> None:
        await self._credentials.load()
        await self._credentials.put(name, type, values)

    async def drop_credential(self, name: str) -> None:
        await self._credentials.load()
        await self._credentials.drop(name)

    async def rotate_credentials(self) -> int:
        await self._credentials.load()
        return await self._credentials.rotate()

    async def sign(self, flow_id: str, message: Unsigned) -> Signed:
        flow = self._flow(flow_id)
        scheme, chosen = flow.trigger.scheme, flow.trigger.scheme_settings
        if scheme is None or chosen is None:
            return Signed("none", [], message.body)
        await self._credentials.load()
        # Whoever can read the database and its key has the secret already.
        credential = credential_of(flow, self._credentials.get)
        return sign(scheme, credential, chosen, message, hook_url("", flow_id, message), self._clock.now())


class _Remote(RemoteFlows, RemoteKept):
    """Through a running server's admin API."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._api = f"{url}/api/v1"

    async def executions(
        self, flow_id: str | None, state: State | None, cursor: str | None, limit: int, **chosen: str | None
    ) -> Mapping[str, Any]:
        where = {"flow_id": flow_id, "state": None if state is None else state.value, **chosen}
        query = {**where, "cursor": cursor, "limit": limit}
        found: Mapping[str, Any] = await self._ask("GET", "/executions", query)
        return found

    async def execution(self, execution_id: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = await self._ask("GET", f"/executions/{quote(execution_id, safe='')}")
        return found

    async def recordings(self, flow_id: str, since: str | None, cursor: str | None, limit: int) -> Mapping[str, Any]:
        query = {"since": since, "cursor": cursor, "limit": limit}
        found: Mapping[str, Any] = await self._ask("GET", f"/flows/{quote(flow_id, safe='')}/recordings", query)
        return found

    async def recording(self, execution_id: str) -> Mapping[str, Any]:
        path = f"/executions/{quote(execution_id, safe='')}/recording"
        found: Mapping[str, Any] = await self._ask("GET", path)
        return found

    async def retry(self, execution_id: str) -> None:
        await self._ask("POST", f"/executions/{quote(execution_id, safe='')}/retry")

    async def release(self, execution_id: str) -> None:
        await self._ask("POST", f"/executions/{quote(execution_id, safe='')}/release")

    async def cancel(self, execution_id: str) -> None:
        await self._ask("POST", f"/executions/{quote(execution_id, safe='')}/cancel")

    async def discard(self, execution_id: str) -> None:
        await self._ask("POST", f"/executions/{quote(execution_id, safe='')}/discard")

    async def replay(
        self, execution_id: str, step: str | None, version: str, edit: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        path, query = f"/executions/{quote(execution_id, safe='')}/replay", {"from": step, "version": version}
        made: Mapping[str, Any] = await self._ask("POST", path, query, body=edit)
        return made

    async def many(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        done: Mapping[str, Any] = await self._ask("POST", "/executions/many", body=request)
        return done

    async def dead_letters(self, flow_id: str | None, cursor: str | None, limit: int) -> Mapping[str, Any]:
        query = {"flow_id": flow_id, "cursor": cursor, "limit": limit}
        found: Mapping[str, Any] = await self._ask("GET", "/dead-letters", query)
        return found

    async def dead_letter(self, cause: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = await self._ask("GET", f"/dead-letters/{quote(cause, safe='')}")
        return found

    async def explain(self, execution_id: str, field: str) -> Mapping[str, Any]:
        path = f"/executions/{quote(execution_id, safe='')}/provenance"
        found: Mapping[str, Any] = await self._ask("GET", path, {"field": field})
        return found

    async def events(self, flow_id: str | None) -> AsyncIterator[Mapping[str, Any]]:
        query = {} if flow_id is None else {"flow_id": flow_id}
        async for event in follow(self._session, f"{self._api}/events", query):
            yield event

    async def resume(self, execution_id: str, step: str, body: bytes) -> None:
        request = {"step": step, "body": msgspec.Raw(body)}
        await self._ask("POST", f"/executions/{quote(execution_id, safe='')}/resume", body=request)

    async def start(self, flow_id: str, message: Mapping[str, Any]) -> Mapping[str, Any]:
        started: Mapping[str, Any] = await self._ask("POST", f"/flows/{quote(flow_id, safe='')}/start", body=message)
        return started

    async def refused(self, flow_id: str | None, cursor: str | None, limit: int) -> Mapping[str, Any]:
        path = "/refused" if flow_id is None else f"/flows/{quote(flow_id, safe='')}/refused"
        found: Mapping[str, Any] = await self._ask("GET", path, {"cursor": cursor, "limit": limit})
        return found

    async def storage(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = await self._ask("GET", "/storage")
        return found

    async def credentials(self) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = (await self._ask("GET", "/credentials"))["items"]
        return found

    async def put_credential(self, name: str, type: str, values: Mapping[str, Any]) -> None:
        await self._ask("PUT", f"/credentials/{quote(name, safe='')}", body={"type": type, "values": values})

    async def drop_credential(self, name: str) -> None:
        await self._ask("DELETE", f"/credentials/{quote(name, safe='')}")

    async def rotate_credentials(self) -> int:
        rotated: int = (await self._ask("POST", "/credentials/rotate"))["rotated"]
        return rotated

    async def sign(self, flow_id: str, message: Unsigned) -> Signed:
        path = f"/flows/{quote(flow_id, safe='')}/sign"
        try:
            return msgspec.convert(await self._ask("POST", path, body=message), Signed)
        except ServerRefused as refused:
            if refused.error_code == CannotSign.code:
                raise CannotSign(refused.message) from None
            raise

    async def _ask(self, method: str, path: str, query: Mapping[str, Any] | None = None, body: Any = None) -> Any:
        params = {name: str(value) for name, value in (query or {}).items() if value is not None}
        data = None if body is None else encode(body)
        try:
            async with self._session.request(method, self._api + path, params=params, data=data) as response:
                content = await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise StoreError(f"the server at {self._api} doesn't answer: {error}") from error
        if response.status < 400:
            # What executions hold is shown with the digits that it has there.
            return decode(content, exact=True) if content else None
        raise _refusal(response.status, content)


def _refusal(status: int, content: bytes) -> ServerRefused:
    try:
        document = decode(content)
        problems = tuple(
            Problem(one["detail"], one.get("pointer", ""), one.get("code", "invalid"), one.get("remedy", ""))
            for one in document.get("problems", ())
        )
        return ServerRefused(document["detail"], document["code"], problems)
    except (ValueError, KeyError, TypeError, AttributeError):
        return ServerRefused(f"the server answered {status}", f"http.{status}", ())


async def _page_of(page: Awaitable[_T]) -> _T:
    try:
        return await page
    except ValueError as error:
        raise ServerRefused(f"the cursor is wrong: {error}", "request.malformed", ()) from None


def _json(view: Any) -> Mapping[str, Any]:
    """A view as the JSON values that the admin API would give."""
    value: Mapping[str, Any] = decode(encode(view), exact=True)
    return value
