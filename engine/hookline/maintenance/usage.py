"""The room that each flow uses: its rows and its files."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import Final

from hookline.storage.blobs import Blobs
from hookline.storage.store import FileUse, Store

_PAGE: Final = 500
"""The executions, or files, of one query."""


@dataclass(slots=True)
class FlowUsage:
    """The bytes that a flow uses, by estimate."""

    used: int = 0
    """By its rows and files, also those of dead letters and of executions that have not ended."""
    purgeable: int = 0
    """The part of `used` that purging frees."""
    dead_letters: int = 0
    """The part of `used` that open dead letters take."""


@dataclass(slots=True)
class Usage:
    """The bytes that all flows use."""

    flows: dict[str, FlowUsage] = field(default_factory=dict)
    total: int = 0
    """A file that several flows use counts once."""
    purgeable: int = 0
    """The part of `total` that purging frees."""

    @property
    def dead_letters(self) -> int:
        """The bytes of all open dead letters."""
        return sum(flow.dead_letters for flow in self.flows.values())


async def measure_usage(store: Store, blobs: Blobs) -> Usage:
    """Measure the room that each flow uses, page by page. Raises StoreError."""
    usage = Usage()
    after: str | None = ""
    while after is not None:
        rows = await store.row_usage(after, _PAGE)
        for row in rows.items:
            flow = usage.flows.setdefault(row.flow_id, FlowUsage())
            flow.used += row.used
            flow.purgeable += row.purgeable
            flow.dead_letters += row.dead_letters
            usage.total += row.used
            usage.purgeable += row.purgeable
        after = rows.next
    after = ""
    while after is not None:
        files = await store.file_usage(after, _PAGE)
        sizes = await blobs.sizes({file.blob_id for file in files.items})
        for blob_id, users in groupby(files.items, attrgetter("blob_id")):
            _add_file(usage, sizes, blob_id, list(users))
        after = files.next
    return usage


def _add_file(usage: Usage, sizes: Mapping[str, int], blob_id: str, users: list[FileUse]) -> None:
    size = sizes.get(blob_id, 0)
    usage.total += size
    usage.purgeable += size if all(user.purgeable for user in users) else 0
    for user in users:
        flow = usage.flows.setdefault(user.flow_id, FlowUsage())
        flow.used += size
        # Purging one of several flows doesn't free what the others use, too.
        flow.purgeable += size if user.purgeable and len(users) == 1 else 0
        flow.dead_letters += size if user.dead_letter else 0
