"""Files and CSV: `file.read`, `file.write`, `csv.parse`, `csv.render`, `lookup`, and the trigger `file.new`."""

from collections.abc import Sequence

from hookline.api import Connector, hookimpl
from hookline_files import csv_parse, csv_render, look_up, new, read, write  # noqa: F401 - each adds to a connector
from hookline_files.connectors import csv, file, lookup


@hookimpl
def register_connectors() -> Sequence[Connector]:
    """The connectors of files, of CSV and of tables."""
    return [file, csv, lookup]
