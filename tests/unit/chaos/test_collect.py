"""What the system says after a run is written down as it says it, also if it says something twice."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.chaos import collect
from tests.chaos.history import Ended


class SomeNode:
    """Answers as the admin API of a node does, in pages of one item."""

    def __init__(self, listed: list[dict[str, Any]], recorded: list[dict[str, Any]]) -> None:
        self._listed = listed
        self._recorded = recorded

    def get(self, path: str) -> tuple[int, Any]:
        url = urlsplit(path)
        query = parse_qs(url.query)
        all_items = self._recorded if url.path.endswith("/recordings") else self._listed
        flow = query["flow_id"][0] if "flow_id" in query else url.path.split("/")[4]
        items = [item for item in all_items if item["flow_id"] == flow]
        number = int(query.get("cursor", ["0"])[0])
        following = str(number + 1) if number + 1 < len(items) else None
        return 200, {"items": items[number : number + 1], "next": following}


def item(execution: str, flow: str, parent: str | None = None, **more: Any) -> dict[str, Any]:
    """An execution as the admin API shows it."""
    arrival = {} if parent is None else {"parent": {"execution_id": parent, "path": "both/pack"}}
    return {"id": execution, "flow_id": flow, "state": "succeeded", "error": None, "trigger": arrival, **more}


def ended(execution: str, flow: str, message: str | None, parent: str | None = None) -> Ended:
    return Ended(id=execution, flow=flow, state="succeeded", error=None, parent=parent, message=message)


def test_an_execution_that_is_listed_twice_is_written_down_twice() -> None:
    listed = [item("e", "notes"), item("e", "notes")]
    node = SomeNode(listed, [item("e", "notes", body={"message": "m"})])
    assert collect.executions(node) == [ended("e", "notes", "m")] * 2


def test_an_execution_that_is_not_listed_is_written_down_too() -> None:
    node = SomeNode([item("e", "notes")], [item("f", "notes", body={"message": "m"})])
    assert collect.executions(node) == [ended("e", "notes", None), ended("f", "notes", "m")]


def test_a_called_flow_names_its_caller() -> None:
    node = SomeNode([item("p", "parcels", parent="e")], [])
    assert collect.executions(node) == [ended("p", "parcels", None, parent="e")]
