"""The admin API's route that does something with many executions."""

from typing import Literal

import msgspec
from quart import Blueprint, Response

from hookline.engine import Engine
from hookline.kernel.errors import Malformed
from hookline.operations.bulk import Done
from hookline.service.admin.merge_service_admin_filters import FILTERS_OF_MANY, chosen_of
from hookline.service.admin.openapi import operation
from hookline.service.admin.repairs import EditRequest, body_of, edit_of
from hookline.service.admin.requests import answer, paged


class ManyRequest(EditRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is to be done with a page of executions. The filters are those of the list of executions."""

    do: Literal["retry", "replay", "cancel", "discard"]
    flow_id: str | None = None
    state: str | None = None
    outcome: str | None = None
    error_code: str | None = None
    cause: str | None = None
    since: str | None = None
    until: str | None = None
    step: str | None = None
    """The step from which on they are replayed."""
    version: Literal["current", "same"] = "current"
    """The version on which they are replayed."""
    cursor: str | None = None
    limit: int = 50


class DoneView(msgspec.Struct, frozen=True):
    """An execution with which it was done."""

    id: str
    new_id: str | None
    """The execution that does it again."""


class RefusalView(msgspec.Struct, frozen=True):
    """An execution with which it couldn't be done."""

    id: str
    code: str
    message: str


class ManyDone(msgspec.Struct, frozen=True):
    """What came of one page."""

    done: list[DoneView]
    refused: list[RefusalView]
    next: str | None
    """The cursor of the next page; null at the end."""


def add_many(api: Blueprint, engine: Engine) -> None:
    """Add the routes."""

    @api.post("/executions/many")
    @operation(ManyDone, request=ManyRequest)
    async def many_executions() -> Response:
        """Retry, replay, cancel or discard a page of executions, newest first; `next` goes on with the next page.

        What can't be done with one of them is told, and done with the others. Replaying the dead letters of a cause
        discards each with its replay, so that whoever is stopped in the middle can begin anew.
        """
        given = await body_of(ManyRequest)
        if not 1 <= given.limit <= 200:
            raise Malformed("limit is a number from 1 to 200.")
        chosen = chosen_of({name: value for name in FILTERS_OF_MANY if (value := getattr(given, name)) is not None})
        page = engine.many(
            given.do,
            chosen,
            version=given.version,
            step=given.step,
            edit=edit_of(given),
            cursor=given.cursor,
            limit=given.limit,
        )
        return answer(done_view(await paged(page)))


def done_view(done: Done) -> ManyDone:
    """What came of one page."""
    return ManyDone(
        [DoneView(id_, new_id) for id_, new_id in done.done],
        [RefusalView(one.id, one.code, one.message) for one in done.refused],
        done.next,
    )
