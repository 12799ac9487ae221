"""The connector `generic`."""

from hookline.api import Connector
from hookline_generic.reference_text import GENERIC, GENERIC_ERRORS, GENERIC_EXAMPLE

generic = Connector(
    "generic",
    title="Generic",
    prefix=False,
    outside=False,
    description=GENERIC,
    errors=GENERIC_ERRORS,
    example=GENERIC_EXAMPLE,
)
