"""Files and CSV: the connectors `file`, with the trigger `file.new`, and `csv`."""

from collections.abc import Sequence

from hookline.api import Connector, hookimpl
from hookline_files import (  # noqa: F401 - each adds what it has to a connector
    csv_parse,
    csv_render,
    look,
    new,
    read,
    relocate,
    remove,
    write,
)
from hookline_files.connectors import csv, file


@hookimpl
def register_connectors() -> Sequence[Connector]:
    """The connectors of files and of CSV."""
    return [file, csv]
