"""The tuning of the switches between Python's threads for a server."""

import sys
from typing import Final

#: Seconds after which a thread that runs Python gives way to one that waits. A commit passes through several threads,
#: so with Python's own 5 ms it would take 200 ms and more while the event loop works on one large message.
_INTERVAL: Final = 0.001


def tune() -> None:
    """Let threads that wait for the interpreter run soon."""
    sys.setswitchinterval(_INTERVAL)
