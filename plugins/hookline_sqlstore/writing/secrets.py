"""The keys and the token on which the nodes of a database agree. Each change locks the row of the cluster first.

A node registers before it notes its keys. So if a node joins while a key becomes the first one, whichever comes later
sees the other.
"""

from collections.abc import Collection, Sequence
from typing import Any, Final

from sqlalchemy import Connection, insert, select, text, update

from hookline.api_storage import KeysInUse, RetireKeys, SetAdminToken, UseKeys
from hookline_sqlstore.column_values import micros
from hookline_sqlstore.lease import NOW
from hookline_sqlstore.tables import cluster, secret_keys

_LOCKED: Final = select(cluster.c.first_key).where(cluster.c.id == 1).with_for_update()
_ME: Final = "current_setting('hookline.lease')"
_TELL: Final = text(f"UPDATE nodes SET secret_keys = :keys WHERE lease = {_ME}")  # noqa: S608 - our own names
#: Also those that may accept messages without their lease.
_OTHERS: Final = text(
    f"SELECT name, secret_keys FROM nodes WHERE role <> 'command' AND lease <> {_ME} AND (gone_at IS NULL"  # noqa: S608 - as above
    f" OR (accepts_without_lease > 0 AND until + accepts_without_lease > {NOW}))"
)


def use_keys(connection: Connection, change: UseKeys) -> KeysInUse:
    """Note which keys this node has; return those in use."""
    first: str | None = connection.scalar(_LOCKED)
    now = micros(change.at)
    if first is None:
        first = change.ids[0]
        _add(connection, change.ids, now)
        connection.execute(update(cluster).values(first_key=first))
    rows = connection.execute(select(secret_keys)).all()
    known = sorted(row.id for row in rows)
    missing = tuple(row.id for row in rows if row.retired_at is None and row.id not in change.ids)
    if missing:
        return KeysInUse(first, tuple(known), tuple(sorted(missing)))
    others = _others(connection, change.ids)
    wanted, without = change.ids[0], tuple[str, ...]()
    if wanted != first:
        without = _without(others, wanted, new=wanted not in known)
        if not without:
            first = wanted
            _add(connection, [wanted], now)
            connection.execute(update(cluster).values(first_key=wanted, changes=cluster.c.changes + 1))
            known = sorted({*known, wanted})
    return KeysInUse(first, tuple(known), (), without)


def _others(connection: Connection, ids: Sequence[str]) -> Sequence[Any]:
    """Note the keys of this node, and return the rows of the others that may encrypt anything."""
    if connection.dialect.name != "postgresql":
        return ()  # one process uses it
    connection.execute(_TELL, {"keys": ",".join(ids)})
    return connection.execute(_OTHERS).all()


def _without(others: Sequence[Any], wanted: str, *, new: bool) -> tuple[str, ...]:
    """Return the names of the nodes because of which a key can't become the first one."""

    def agrees(row: Any) -> bool:
        theirs = [] if row.secret_keys is None else row.secret_keys.split(",")
        return wanted in theirs if new else wanted == theirs[:1]

    return tuple(sorted({row.name for row in others if not agrees(row)}))


def retire_keys(connection: Connection, change: RetireKeys) -> None:
    """Note that only these keys are needed."""
    first: str | None = connection.scalar(_LOCKED)
    others = secret_keys.c.id.not_in(change.keep)
    retired = update(secret_keys).where(others, secret_keys.c.retired_at.is_(None))
    connection.execute(retired.values(retired_at=micros(change.at)))
    if first not in change.keep:
        _add(connection, change.keep, micros(change.at))
        connection.execute(update(cluster).values(first_key=change.keep[0], changes=cluster.c.changes + 1))


def _add(connection: Connection, ids: Collection[str], now: int | None) -> None:
    connection.execute(update(secret_keys).where(secret_keys.c.id.in_(ids)).values(retired_at=None))
    there = set(connection.scalars(select(secret_keys.c.id).where(secret_keys.c.id.in_(ids))))
    if new := [{"id": id, "since": now} for id in dict.fromkeys(ids) if id not in there]:
        connection.execute(insert(secret_keys), new)


def set_admin_token(connection: Connection, change: SetAdminToken) -> None:
    """Keep the hash of the server's own token."""
    replaced = update(cluster).values(admin_token=change.digest)
    connection.execute(replaced.where(cluster.c.admin_token.is_(None)) if change.first else replaced)
