"""Files, CSV, XML and tables: the connectors `file`, with the trigger `file.new`, `csv`, `xml` and `lookup`."""

from collections.abc import Sequence

from hookline.api import Connector, hookimpl
from hookline_files.connectors import csv, file, lookup, xml
from hookline_files.csv_actions import parse, render  # noqa: F401 - they add actions to the connectors
from hookline_files.file_actions import delete, listing, move_and_copy, new_files_trigger, read, write  # noqa: F401 - they add actions to the connectors
from hookline_files.lookup_actions import action  # noqa: F401 - they add actions to the connectors
from hookline_files.xml_actions import parse as parse_xml  # noqa: F401 - they add actions to the connectors
from hookline_files.xml_actions import render as render_xml  # noqa: F401 - they add actions to the connectors


@hookimpl
def register_connectors() -> Sequence[Connector]:
    """Return the connectors `file`, `csv`, `xml` and `lookup`."""
    return [file, csv, xml, lookup]
