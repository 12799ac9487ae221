"""The two connectors, to which each action's module adds its own."""

from hookline.api import Connector
from hookline_files.about import CSV, CSV_ERRORS, CSV_EXAMPLE, FILE_ERRORS, FILE_EXAMPLE, FILES

file = Connector("file", title="Files", description=FILES, errors=FILE_ERRORS, example=FILE_EXAMPLE)
csv = Connector("csv", title="CSV", description=CSV, errors=CSV_ERRORS, example=CSV_EXAMPLE)
