"""Files and CSV: `file.read`, `file.write`, `csv.parse`, `csv.render`."""

from collections.abc import Sequence

from hookline.api import Connector, hookimpl
from hookline_files import csv_parse, csv_render, read, write  # noqa: F401 - each adds its action to a connector
from hookline_files.connectors import csv, file


@hookimpl
def register_connectors() -> Sequence[Connector]:
    """The connectors of files and of CSV."""
    return [file, csv]
