"""The check that a connection doesn't lead to Hookline's own database.

The server is asked, because names can't tell: a database has any number of them, through proxies, poolers, replicas and
other addresses.
"""

from typing import Any, Final

from hookline.api import StepError
from hookline_sql.databases.address import Address, shown

#: A role could put functions and operators of its own before those of the system.
_SYSTEM_NAMES: Final = "SELECT pg_catalog.set_config('search_path', 'pg_catalog', true)"
_IDENTITY: Final = (
    "SELECT system_identifier::pg_catalog.text,"
    " (SELECT oid::pg_catalog.text FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()),"
    " (SELECT pg_catalog.array_agg(rolname::pg_catalog.text) FROM pg_catalog.pg_roles"
    " WHERE pg_catalog.pg_has_role(session_user, oid, 'MEMBER')),"
    # A member takes on the rights of a role by SET ROLE, also those that it doesn't inherit.
    " (SELECT pg_catalog.bool_or(rolsuper OR rolcreaterole) FROM pg_catalog.pg_roles"
    " WHERE pg_catalog.pg_has_role(session_user, oid, 'MEMBER'))"
    " FROM pg_catalog.pg_control_system()"
)
#: The roles that reach the files of each database of the server.
_POWERFUL: Final = frozenset({"pg_execute_server_program", "pg_read_server_files", "pg_write_server_files"})
#: The states of servers that only speak PostgreSQL's protocol: such a server can't be Hookline's own.
_NOT_POSTGRESQL: Final = ("42883", "3F000", "0A000")


def check_server(address: Address, connection: Any, _record: object) -> None:
    """Raise StepError (`sql.url`) if a new connection to PostgreSQL leads to the engine's own database.

    From any other database of that server, a user could reach it who is the engine's own, owns it, makes roles, runs
    programs or reads files.
    """
    cursor = connection.cursor()
    try:
        cursor.execute(_SYSTEM_NAMES)
        cursor.execute(_IDENTITY)
        ((server, database, roles, makes_roles),) = cursor.fetchall()
        connection.commit()
    except connection.dbapi.Error as error:
        # After any other error there is no connection: the server might be Hookline's own.
        if getattr(error, "sqlstate", None) not in _NOT_POSTGRESQL:
            raise
        connection.rollback()
        return
    finally:
        cursor.close()
    if address.resources.owns(f"postgresql:{server}/{database}"):
        raise StepError(
            "this is the engine's own database, which steps can't use; use another database", code="sql.url"
        )
    own = any(address.resources.owns(f"postgresql:{server}@{role}") for role in roles)
    if own or (address.resources.owns(f"postgresql:{server}") and (makes_roles or _POWERFUL.intersection(roles))):
        raise StepError(
            f"{shown(address.url)} is on the server of the engine's own database, which its user could change; "
            "use a user of its own, without rights over the whole server: CREATE ROLE name LOGIN NOSUPERUSER",
            code="sql.url",
        )
