"""The connectors, to which the modules of the actions add these."""

from hookline.api import Connector
from hookline_files.reference_text import (
    CSV,
    CSV_ERRORS,
    CSV_EXAMPLE,
    FILE_ERRORS,
    FILE_EXAMPLE,
    FILES,
    LOOKUP,
    LOOKUP_ERRORS,
    LOOKUP_EXAMPLE,
    XML,
    XML_ERRORS,
    XML_EXAMPLE,
)

file = Connector("file", title="Files", description=FILES, errors=FILE_ERRORS, example=FILE_EXAMPLE)
csv = Connector("csv", title="CSV", description=CSV, errors=CSV_ERRORS, example=CSV_EXAMPLE)
xml = Connector("xml", title="XML", description=XML, errors=XML_ERRORS, example=XML_EXAMPLE)
lookup = Connector(
    "lookup",
    title="Tables",
    prefix=False,
    outside=False,
    description=LOOKUP,
    errors=LOOKUP_ERRORS,
    example=LOOKUP_EXAMPLE,
)
