"""Connections of plugins that speak another protocol than HTTP, to addresses that they may reach."""

import asyncio
import socket

import aiohappyeyeballs

from hookline.kernel.errors import StepError, Unavailable
from hookline.outbound.egress import Egress, refused


async def connect(egress: Egress, host: str, port: int, timeout: float) -> socket.socket:
    """See `Resources.connect`. What is judged is each address that the host has when it is connected to."""
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        async with asyncio.timeout(timeout):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
            allowed = [info for info in found if egress.allows(str(info[4][0]), host, port)]
            if not allowed:
                raise refused(host, port, (str(info[4][0]) for info in found), "engine.egress")
            return await aiohappyeyeballs.start_connection(allowed, happy_eyeballs_delay=0.25)
    except TimeoutError as error:
        raise Unavailable(f"{where} did not answer within {timeout:g} s", code="engine.connect") from error
    except (OSError, UnicodeError) as error:
        # A name with an empty or an endless label is no Unicode error to whoever wrote it.
        if isinstance(error, UnicodeError):
            raise StepError(f"{host!r:.100} is no name of a host", code="engine.connect") from error
        raise Unavailable(f"no connection to {where}: {error}", code="engine.connect") from error
