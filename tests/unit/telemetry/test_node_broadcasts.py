"""Events that come to listeners of other nodes, and gaps where too many happened."""

import pytest

from hookline.storage.cluster import Alone
from hookline.telemetry.live_events import Events
from hookline.telemetry.node_broadcasts import NodeBroadcasts


class _Node(Alone):
    """A node with another one, which hears what this one sends until its way is full."""

    alone = False  # type: ignore[assignment, misc] # the other one has no other

    def __init__(self) -> None:
        super().__init__()
        self.other: _Node | None = None
        self.full = False

    def send_hint(self, hint: bytes) -> bool:
        assert b"\n" not in hint
        if self.full:
            return False
        assert self.other is not None
        assert self.other.on_hint is not None
        self.other.on_hint(hint)
        return True


@pytest.fixture
def nodes() -> tuple[_Node, _Node]:
    one, other = _Node(), _Node()
    one.other, other.other = other, one
    return one, other


def _heard(_: str) -> None:
    raise AssertionError


@pytest.mark.cluster_rule("C11")
async def test_a_gap_marks_where_events_of_another_node_were_dropped(nodes: tuple[_Node, _Node]) -> None:
    here, there = nodes
    ours, theirs = Events(), Events()
    NodeBroadcasts(here, ours, _heard)
    NodeBroadcasts(there, theirs, _heard)
    theirs.accepted("f", "0")
    with ours.listen() as listener:
        theirs.accepted("f", "1")
        there.full = True
        for number in range(3):
            theirs.accepted("f", f"lost {number}")
        there.full = False
        theirs.accepted("f", "2\n")
        told = [(event.kind, event.data.get("execution_id"), event.data.get("count")) for event in listener.take()]
    assert told == [("execution.queued", "1", None), ("gap", None, 3), ("execution.queued", "2\n", None)]
    ours.close()
    theirs.close()


@pytest.mark.cluster_rule("C11")
async def test_events_are_not_sent_back_and_not_to_nodes_where_nobody_listens(nodes: tuple[_Node, _Node]) -> None:
    here, there = nodes
    ours, theirs = Events(), Events()
    NodeBroadcasts(here, ours, _heard)
    NodeBroadcasts(there, theirs, _heard)
    with ours.listen() as listener, theirs.listen() as other:
        ours.accepted("f", "1")
        theirs.accepted("f", "2")
        assert [event.data["execution_id"] for event in listener.take()] == ["1", "2"]
        assert [event.data["execution_id"] for event in other.take()] == ["1", "2"]
    ours.close()
    theirs.close()
    there.full = True
    ours.accepted("f", "3")


async def test_hints_of_a_newer_version_are_ignored(nodes: tuple[_Node, _Node]) -> None:
    here, _ = nodes
    NodeBroadcasts(here, Events(), _heard)
    assert here.on_hint is not None
    here.on_hint(b'{"type":"news"}')
    here.on_hint(b"\xff")
