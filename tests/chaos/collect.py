"""What the system itself says after a run: executions and versions, by the admin API, and tables, by the database."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlencode

import asyncpg  # type: ignore[import-untyped]  # it has no types

from tests.acceptance.own_postgres import OwnPostgres
from tests.chaos.cluster import FLOWS, Node
from tests.chaos.history import Alias, Ended, Entry, Request, Served, Stored, read

OPEN_STATES = ("queued", "running", "waiting")


class Source(Protocol):
    """Whatever answers as the admin API of a node."""

    def get(self, path: str) -> tuple[int, Any]: ...


def is_drained(node: Node) -> bool:
    """Whether every execution has ended; false if the node can't tell now."""
    try:
        # Twice, since an execution that continues between two questions is in neither answer.
        pages = [node.get(f"/api/v1/executions?state={state}&limit=1") for state in OPEN_STATES * 2]
    except OSError:
        return False
    return all(status == 200 and not page["items"] for status, page in pages)


def executions(node: Source) -> list[Ended]:
    """All executions, as often as they are listed: those that have ended with their messages, and the others."""
    found: list[Ended] = []
    for flow in sorted(path.stem for path in FLOWS.glob("*.json")):
        recorded = list(_pages(node, f"/api/v1/flows/{flow}/recordings"))
        messages = {item["id"]: item["body"]["message"] for item in recorded}
        listed = list(_pages(node, "/api/v1/executions", flow_id=flow))
        unlisted = messages.keys() - {item["id"] for item in listed}
        found += [_execution(item, messages.get(item["id"])) for item in listed]
        found += [_execution(item, messages[item["id"]]) for item in recorded if item["id"] in unlisted]
    return found


def served(nodes: Sequence[Node]) -> list[Served]:
    """The versions that each node serves."""
    return [
        Served(node=node.name, flow=item["id"], version=item["version"])
        for node in nodes
        for item in node.get("/api/v1/flows")[1]["items"]
    ]


def aliases(node: Node, known: Sequence[Ended], history: Path) -> list[Alias]:
    """The executions that stand behind the ids that senders got, where these are not the executions' own."""
    ids = {one.id for one in known}
    asked = {one.execution for one in read(history, Request) if one.execution is not None} - ids
    found = {alias: node.get(f"/api/v1/executions/{alias}") for alias in sorted(asked)}
    return [Alias(alias=alias, execution=body["id"]) for alias, (status, body) in found.items() if status == 200]


def _pages(node: Source, path: str, **query: str) -> Iterator[dict[str, Any]]:
    cursor: str | None = None
    while True:
        given = {**query, "limit": "100", **({"cursor": cursor} if cursor else {})}
        status, page = node.get(f"{path}?{urlencode(given)}")
        assert status == 200, page
        yield from page["items"]
        cursor = page["next"]
        if cursor is None:
            return


def _execution(item: dict[str, Any], message: str | None) -> Ended:
    parent = item["trigger"].get("parent")
    return Ended(
        id=item["id"],
        flow=item["flow_id"],
        state=item["state"],
        error=None if item["error"] is None else f"{item['error']['code']}: {item['error']['message']}",
        parent=None if parent is None else parent["execution_id"],
        message=message,
        node=item.get("node"),
    )


async def stored(postgres: OwnPostgres) -> list[Stored]:
    """All rows of executions, of whatever partition: an id may be in several of them."""
    async with postgres.session() as session:
        rows: list[asyncpg.Record] = await session.fetch(
            "SELECT id, tableoid::regclass::text AS part FROM executions ORDER BY id"
        )
    return [Stored(execution=row["id"], table=row["part"]) for row in rows]


async def journal(postgres: OwnPostgres) -> list[Entry]:
    """All entries, in order."""
    async with postgres.session() as session:
        rows: list[asyncpg.Record] = await session.fetch("SELECT * FROM journal ORDER BY execution_id, seq")
    return [
        Entry(
            execution=row["execution_id"],
            seq=row["seq"],
            path=row["path"],
            state=row["state"],
            attempt=row["attempt"],
            node=row.get("node"),
        )
        for row in rows
    ]
