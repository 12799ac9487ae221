"""The comparison of a folder with the flows that a server has."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from hookline.cli.client import Client
from hookline.cli.deploy.folder import FolderFlow
from hookline.flows.authoring.flow_difference import Difference, flow_differences
from hookline.kernel.json import canonical

_AT_ONCE: Final = 8
_NO_CASES: Final[Any] = {"cases": []}


class FlowChange(msgspec.Struct, frozen=True):
    """The difference between a flow of the folder and that of the server."""

    flow_id: str
    change: Literal["added", "changed", "deleted", "unchanged"]
    before: str | None
    """The version that serves; null if there is none."""
    version: str | None
    """The version in the folder; null if the flow is deleted."""
    differences: Sequence[Difference] = ()
    title: bool = False
    """True if the title differs."""
    cases: bool = False
    """True if the test cases differ."""


class Comparison(msgspec.Struct, frozen=True):
    """The differences between a folder and a server."""

    changes: Sequence[FlowChange]
    only_on_server: Sequence[str]
    """The ids of the flows that the folder doesn't have, and that aren't deleted."""

    @property
    def changed(self) -> Sequence[FlowChange]:
        """The flows that a deployment changes."""
        return [one for one in self.changes if one.change != "unchanged"]


async def compare(client: Client, flows: Sequence[FolderFlow], *, delete: bool) -> Comparison:
    """Compare the flows of a folder with a server's. `delete`: flows that only the server has count as deleted."""
    served = {one["id"]: one for one in (await client.get("flows"))["items"]}
    slots = asyncio.Semaphore(_AT_ONCE)

    async def compared(flow: FolderFlow) -> FlowChange:
        async with slots:
            return await _compared(client, flow, served.get(flow.id))

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(compared(flow)) for flow in flows]
    except ExceptionGroup as failed:
        # One reason is enough: they are all the same server's.
        raise failed.exceptions[0] from None
    changes = [task.result() for task in tasks]
    others = sorted(served.keys() - {flow.id for flow in flows})
    if delete:
        changes += [FlowChange(one, "deleted", served[one]["version"], None) for one in others]
    return Comparison(changes, () if delete else others)


async def _compared(client: Client, flow: FolderFlow, served: Mapping[str, Any] | None) -> FlowChange:
    if served is None:
        return FlowChange(flow.id, "added", None, flow.version, cases=flow.cases is not None)
    before = served["version"]
    cases = await client.get("flows", flow.id, "cases")
    other_cases = canonical(cases) != canonical(flow.cases or _NO_CASES)
    broken = any(problem["severity"] == "error" for problem in served["problems"])
    if before == flow.version and not broken:
        title = served["title"] != flow.document.get("title", "")
        change: Literal["changed", "unchanged"] = "changed" if title or other_cases else "unchanged"
        return FlowChange(flow.id, change, before, flow.version, title=title, cases=other_cases)
    old: Mapping[str, Any] = {}
    if before is not None:
        old = (await client.get("flows", flow.id, "versions", before))["document"]
    title = old.get("title", "") != flow.document.get("title", "")
    differences = flow_differences(old, flow.document) if before is not None else ()
    return FlowChange(flow.id, "changed", before, flow.version, differences, title, other_cases)
