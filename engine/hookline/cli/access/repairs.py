"""What commands ask of a server to have done with executions: those that failed, wait, or run on; and dead letters."""

from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import quote

import msgspec

from hookline.cli.access.local import Local, NoServer, as_json, page_of
from hookline.cli.access.remote import Remote, execution_path
from hookline.executions.completion import told_of_end
from hookline.intake.callbacks import check_delivered, operator_callback
from hookline.kernel.errors import ExecutionNotFound
from hookline.kernel.ids import Ids
from hookline.model.execution import Outcome, State
from hookline.operations.bulk import one_page
from hookline.secrets.redaction import Redaction
from hookline.service.admin.dead_letters import dead_letters_view
from hookline.service.admin.executions import filter_from
from hookline.service.admin.operations import done_view
from hookline.service.views.executions import cause_parts
from hookline.service.views.pages import PageView
from hookline.storage.changes import Cancel, DismissDeadLetter, End, ReleaseOrderKey, Reopen
from hookline.storage.store import readable_envelope


class RepairAccess(Protocol):
    """Values are JSON, shaped as the admin API shapes them."""

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
        """Raises NoServer, and what the server rejects."""
        ...

    async def many(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Do something with a page of executions; `request` as the admin API's. Raises NoServer for replays."""
        ...

    async def release(self, execution_id: str) -> None:
        """Raises ExecutionNotFound and IllegalStateChange."""
        ...

    async def resume(self, execution_id: str, step: str, body: bytes) -> None:
        """Call a step that waits; `body` is JSON. Raises ExecutionNotFound and IllegalStateChange."""
        ...

    async def dead_letters(self, flow_id: str | None, cursor: str | None, limit: int) -> Mapping[str, Any]: ...

    async def dead_letter(self, cause: str) -> Mapping[str, Any]:
        """One group. Raises ExecutionNotFound."""
        ...


class LocalRepairs(Local):
    """Without a server."""

    async def retry(self, execution_id: str) -> None:
        if await self._store.execution(execution_id) is None:
            raise ExecutionNotFound(f"there is no execution {execution_id!r}")
        await self._store.commit([Reopen(execution_id, self._clock.now())])

    async def cancel(self, execution_id: str) -> None:
        envelope = await readable_envelope(self._store, execution_id)
        end = End(execution_id, State.CANCELLED, Outcome.CANCELLED, self._clock.now())
        tells = None if envelope is None else told_of_end(envelope, end, None, Ids(self._clock).new())
        await self._store.commit([Cancel(execution_id, end.at, tells)])

    async def discard(self, execution_id: str) -> None:
        await self._store.commit([DismissDeadLetter(execution_id, self._clock.now())])

    async def replay(
        self, execution_id: str, step: str | None, version: str, edit: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        raise NoServer("no server runs over this database, and replays are its to make: start it with `hookline serve`")

    async def many(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        do = request["do"]
        deeds = {"retry": self.retry, "cancel": self.cancel, "discard": self.discard}
        if do not in deeds:
            await self.replay("", None, "", {})
        chosen = filter_from({name: value for name, value in request.items() if isinstance(value, str)})
        page = one_page(self._store, chosen, deeds[do], cursor=request.get("cursor"), limit=request.get("limit", 50))
        return as_json(done_view(await page_of(page)))

    async def release(self, execution_id: str) -> None:
        await self._store.commit([ReleaseOrderKey(execution_id, self._clock.now())])

    async def resume(self, execution_id: str, step: str, body: bytes) -> None:
        call_id, now = Ids(self._clock).new(), self._clock.now()
        redaction = Redaction(self._vault)
        call = await operator_callback(self._store, redaction, execution_id, step, body, call_id=call_id, at=now)
        (outcome,) = await self._store.commit([call])
        check_delivered(outcome, call)

    async def dead_letters(self, flow_id: str | None, cursor: str | None, limit: int) -> Mapping[str, Any]:
        page = await page_of(self._store.dead_letters(flow_id=flow_id, cursor=cursor, limit=limit))
        return as_json(PageView([dead_letters_view(one) for one in page.items], page.next))

    async def dead_letter(self, cause: str) -> Mapping[str, Any]:
        flow_id, own = cause_parts(cause)
        page = await self._store.dead_letters(flow_id=flow_id, cause=own, limit=1)
        if not page.items:
            raise ExecutionNotFound(f"there are no dead letters of the cause {cause!r}")
        return as_json(dead_letters_view(page.items[0]))


class RemoteRepairs(Remote):
    """Through a running server's admin API."""

    async def retry(self, execution_id: str) -> None:
        await self._ask("POST", f"{execution_path(execution_id)}/retry")

    async def cancel(self, execution_id: str) -> None:
        await self._ask("POST", f"{execution_path(execution_id)}/cancel")

    async def discard(self, execution_id: str) -> None:
        await self._ask("POST", f"{execution_path(execution_id)}/discard")

    async def replay(
        self, execution_id: str, step: str | None, version: str, edit: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        path, query = f"{execution_path(execution_id)}/replay", {"from": step, "version": version}
        made: Mapping[str, Any] = await self._ask("POST", path, query, body=edit)
        return made

    async def many(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        done: Mapping[str, Any] = await self._ask("POST", "/executions/many", body=request)
        return done

    async def release(self, execution_id: str) -> None:
        await self._ask("POST", f"{execution_path(execution_id)}/release")

    async def resume(self, execution_id: str, step: str, body: bytes) -> None:
        request = {"step": step, "body": msgspec.Raw(body)}
        await self._ask("POST", f"{execution_path(execution_id)}/resume", body=request)

    async def dead_letters(self, flow_id: str | None, cursor: str | None, limit: int) -> Mapping[str, Any]:
        query = {"flow_id": flow_id, "cursor": cursor, "limit": limit}
        found: Mapping[str, Any] = await self._ask("GET", "/dead-letters", query)
        return found

    async def dead_letter(self, cause: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = await self._ask("GET", f"/dead-letters/{quote(cause, safe='')}")
        return found
