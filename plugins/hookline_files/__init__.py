"""Files, CSV and tables: the connectors `file`, with the trigger `file.new`, `csv` and `lookup`."""

from collections.abc import Sequence

from hookline.api import Connector, hookimpl
from hookline_files import (  # noqa: F401 - each adds what it has to a connector
    csv_parse,
    csv_render,
    look,
    look_up,
    new,
    read,
    relocate,
    remove,
    write,
)
from hookline_files.connectors import csv, file, lookup


@hookimpl
def register_connectors() -> Sequence[Connector]:
    """The connectors of files, of CSV and of tables."""
    return [file, csv, lookup]
