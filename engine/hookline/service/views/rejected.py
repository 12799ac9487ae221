"""Requests that were rejected."""

import msgspec

from hookline.kernel.time import rfc3339
from hookline.service.views.pages import PageView, Time
from hookline.storage.store import RejectedPage


class RejectedView(msgspec.Struct, frozen=True):
    """A request that was rejected."""

    id: str
    flow_id: str
    """`-` where no flow answers at its path."""
    at: Time
    code: str
    status: int
    detail: str
    """What the sender was told, and why, as far as that is known here."""
    method: str
    path: str
    """What followed `/hook/`, without the query."""
    size: int
    """Bytes of the body that came, or that were announced where none was read."""
    client: str | None
    body: str | None
    """The beginning of the body, secrets masked, where the flow keeps it."""


def rejected_view(page: RejectedPage) -> PageView[RejectedView]:
    """One page of rejected requests."""
    return PageView(
        [
            RejectedView(
                id=one.id,
                flow_id=one.flow_id,
                at=rfc3339(one.at),
                code=one.code,
                status=one.status,
                detail=one.detail,
                method=one.method,
                path=one.path,
                size=one.size,
                client=one.client,
                body=None if one.body is None else one.body.decode(errors="replace"),
            )
            for one in page.items
        ],
        page.next,
    )
