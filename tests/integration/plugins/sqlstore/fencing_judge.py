"""The judge of the fencing model: what holds in the database after each step, of any node.

It knows nothing of the nodes but their leases. Each journal entry names, in its `use`, the tenure of its writer: the
lease, and a number that the writer took when it became the owner.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

_EXECUTIONS = (
    "SELECT id, state, outcome, owner, ready_at, reason, finished_at, order_key, order_seq FROM executions ORDER BY id"
)
_JOURNAL = 'SELECT execution_id, seq, "use" AS tenure FROM journal ORDER BY execution_id, seq'
_NODES = "SELECT lease, gone_at, released_at FROM nodes ORDER BY started_at, lease"


class Broken(AssertionError):
    """A rule doesn't hold."""


def lease_of(tenure: str) -> str:
    """The lease of the node that wrote an entry."""
    return tenure.partition("#")[0]


@dataclass
class _Seen:
    executions: Mapping[str, Any] = field(default_factory=dict)
    journal: Mapping[str, list[str]] = field(default_factory=dict)
    """The tenures of the entries of each execution, in order."""
    nodes: Mapping[str, Any] = field(default_factory=dict)

    def gone(self, lease: str) -> bool:
        return lease in self.nodes and self.nodes[lease]["gone_at"] is not None

    def lines(self) -> Mapping[bytes, list[Any]]:
        """The executions of each order key that have a place, in its order."""
        lines: defaultdict[bytes, list[Any]] = defaultdict(list)
        for row in self.executions.values():
            if row["order_seq"] is not None:
                lines[row["order_key"]].append(row)
        return {key: sorted(rows, key=lambda row: row["order_seq"]) for key, rows in lines.items()}


class Judge:
    """Compares what is durable now with what was durable a step before."""

    def __init__(self, watching: Any) -> None:
        """`watching`: a connection of asyncpg."""
        self._watching = watching
        self._before = _Seen()
        self._accepted: set[str] = set()

    async def look(self, reported: Iterable[str] = (), accepted: Iterable[str] = ()) -> None:
        """Judge a step. Raises Broken.

        `reported`: the leases under which a transaction was reported as durable; `accepted`: the executions that it
        accepted.
        """
        now = _Seen(
            {row["id"]: row for row in await self._watching.fetch(_EXECUTIONS)},
            _grouped(await self._watching.fetch(_JOURNAL)),
            {row["lease"]: row for row in await self._watching.fetch(_NODES)},
        )
        self._accepted.update(accepted)
        for lease in reported:
            _check(not self._before.gone(lease), f"{lease} was gone, and has committed")
        self._check_owners(now)
        self._check_entries(now)
        self._check_ends(now)
        self._check_places(now)
        _check_turns(now)
        _check_nothing_is_lost(now, self._accepted)
        self._before = now

    @property
    def unreleased(self) -> list[str]:
        """The leases whose executions weren't released; the newest comes last."""
        return [lease for lease, row in self._before.nodes.items() if row["released_at"] is None]

    def check_all_ended(self) -> None:
        """Check that nothing is left to be done."""
        for id_ in self._accepted:
            row = self._before.executions[id_]
            _check(row["finished_at"] is not None, f"nobody could end {dict(row)}")

    def _check_owners(self, now: _Seen) -> None:
        for id_, row in now.executions.items():
            before = self._before.executions.get(id_)
            owner = row["owner"]
            if before is None or owner == before["owner"]:
                continue
            if owner is not None:
                _check(before["owner"] is None, f"{owner} has taken {id_} from {before['owner']}")
                _check(not self._before.gone(owner), f"{owner} was gone, and has claimed {id_}")

    def _check_entries(self, now: _Seen) -> None:
        for id_, tenures in now.journal.items():
            known = self._before.journal.get(id_, [])
            _check(tenures[: len(known)] == known, f"the journal of {id_} was {known}, and is {tenures}")
            before = self._before.executions.get(id_)
            # One that starts as it is accepted has its owner since the same commit.
            owner = now.executions[id_]["owner"] if before is None else before["owner"]
            for place, tenure in enumerate(tenures[len(known) :], len(known)):
                lease = lease_of(tenure)
                _check(owner == lease, f"{tenure} has written to {id_}, which {owner} owned")
                _check(not self._before.gone(lease), f"{lease} was gone, and has written to {id_}")
                earlier = tenures[:place]
                again = tenure in earlier and tenure != earlier[-1]
                _check(not again, f"{tenure} has written to {id_} after another owner: {tenures}")

    def _check_ends(self, now: _Seen) -> None:
        for id_, before in self._before.executions.items():
            _check(id_ in now.executions, f"{id_} is gone")
            if before["finished_at"] is None:
                continue
            same = now.executions[id_] == before and now.journal.get(id_) == self._before.journal.get(id_)
            _check(same, f"{id_} had ended as {dict(before)}, and is {dict(now.executions[id_])}")

    def _check_places(self, now: _Seen) -> None:
        for key, before in self._before.lines().items():
            last = before[-1]["order_seq"]
            for row in now.lines().get(key, ()):
                new = row["id"] not in self._before.executions
                _check(not new or row["order_seq"] > last, f"{row['id']} came after place {last}: {row['order_seq']}")
            for place, row in enumerate(before):
                after = now.executions[row["id"]]
                # What was cancelled before its turn leaves the line from anywhere.
                if after["finished_at"] is not None and after["outcome"] != "cancelled":
                    _check(place == 0, f"{row['id']} ended before {before[0]['id']}, which is before it in its line")


def _grouped(rows: Iterable[Any]) -> Mapping[str, list[str]]:
    tenures: defaultdict[str, list[str]] = defaultdict(list)
    for row in rows:
        tenures[row["execution_id"]].append(row["tenure"])
    return dict(tenures)


def _check_turns(now: _Seen) -> None:
    for rows in now.lines().values():
        twice = [place for place, count in Counter(row["order_seq"] for row in rows).items() if count > 1]
        _check(not twice, f"several executions of a line have the places {twice}")
        turn = [row["id"] for row in rows if row["state"] == "running" or row["ready_at"] is not None]
        _check(turn == [rows[0]["id"]], f"of a line, {turn} may run, and {rows[0]['id']} is the first")


def _check_nothing_is_lost(now: _Seen, accepted: Iterable[str]) -> None:
    for id_ in accepted:
        _check(id_ in now.executions, f"{id_} was accepted, and isn't stored")
    lines = now.lines()
    for row in now.executions.values():
        if row["finished_at"] is not None:
            continue
        owner = row["owner"]
        if owner is not None:
            known = owner in now.nodes and now.nodes[owner]["released_at"] is None
            _check(known, f"nobody releases {dict(row)}")
        elif row["ready_at"] is None:
            waits = row["order_seq"] is not None and lines[row["order_key"]][0]["id"] != row["id"]
            _check(waits, f"nobody can claim {dict(row)}")


def _check(holds: bool, message: str) -> None:
    if not holds:
        raise Broken(message)
