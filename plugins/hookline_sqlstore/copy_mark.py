"""The mark of tables that another database is being copied into: the version of such tables begins with it.

No release knows such a version, so none serves the tables before the copy is complete, also if it was killed.
"""

from typing import Final

_MARK: Final = "copying to "
BEGIN_COPY: Final = f"UPDATE alembic_version SET version_num = '{_MARK}' || version_num"  # noqa: S608 - our own names
"""The statement that sets the mark."""
END_COPY: Final = f"UPDATE alembic_version SET version_num = replace(version_num, '{_MARK}', '')"  # noqa: S608 - as above
"""The statement that removes it."""
COPYING: Final = f"EXISTS (SELECT 1 FROM alembic_version WHERE version_num LIKE '{_MARK}%')"  # noqa: S608 - as above
"""The condition that is true while the tables have it."""
INCOMPLETE: Final = (
    "another database is being copied into this one, or such a copy was interrupted. Wait until it has ended, or run "
    "`hookline db copy` again: nothing of an interrupted copy is left in these tables"
)


def is_copying(version: str | None) -> bool:
    """True for the version of tables that have the mark."""
    return version is not None and version.startswith(_MARK)
