"""Encrypted credentials and subscriptions."""

import msgspec
from sqlalchemy import Connection, select

from hookline.api_storage import (
    StoredCredential,
)
from hookline_sqlstore.column_values import moment
from hookline_sqlstore.tables import (
    credentials,
    subscriptions,
)


def subscription(connection: Connection, flow_id: str) -> bytes | None:
    value: bytes | None = connection.scalar(select(subscriptions.c.value).where(subscriptions.c.flow_id == flow_id))
    return value


def all_subscriptions(connection: Connection) -> dict[str, bytes]:
    return {row.flow_id: row.value for row in connection.execute(select(subscriptions))}


def stored_credentials(connection: Connection) -> tuple[StoredCredential, ...]:
    return tuple(
        StoredCredential(
            row.name,
            row.type,
            row.ciphertext,
            moment(row.updated_at),
            row.tokens,
            _texts(row.flows),
            _texts(row.hosts),
        )
        for row in connection.execute(select(credentials).order_by(credentials.c.name))
    )


def _texts(stored: bytes | None) -> tuple[str, ...]:
    return () if stored is None else msgspec.json.decode(stored, type=tuple[str, ...])
