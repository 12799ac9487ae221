"""The JSONata library, without its change for the whole process: it raises Python's recursion limit."""

import sys

_limit = sys.getrecursionlimit()
try:
    from jsonata import datetimeutils, jexception, jsonata, utils  # type: ignore[import-untyped]
finally:
    sys.setrecursionlimit(_limit)

__all__ = ["datetimeutils", "jexception", "jsonata", "utils"]
