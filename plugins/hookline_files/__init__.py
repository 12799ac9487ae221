"""Files and CSV: `file.read`, `file.write`, `csv.parse`, `csv.render`, and the trigger `file.new`."""

from collections.abc import Sequence

from hookline.api import Connector, hookimpl
from hookline_files import csv_parse, csv_render, new, read, write  # noqa: F401 - each adds what it has to a connector
from hookline_files.connectors import csv, file


@hookimpl
def register_connectors() -> Sequence[Connector]:
    """The connectors of files and of CSV."""
    return [file, csv]
