"""The way of each request through the hook: the handler's answer, or the answer to what went wrong."""

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import structlog

from hookline.kernel.errors import CannotTake, RequestRejected, StoreError
from hookline.service.hooks import cors
from hookline.service.hooks import responses as answers
from hookline.service.hooks.headers import Headers, read_headers
from hookline.service.hooks.rejection import Rejecter, Seen
from hookline.service.types import HookReply, HookRequest, SenderGone

Handle: TypeAlias = Callable[[HookRequest, Headers, Seen], Awaitable[HookReply]]

RETRY_AFTER: Final = 5.0
_log: Final = structlog.get_logger("hookline.service")


async def admit(request: HookRequest, rejecter: Rejecter, handle: Handle) -> HookReply:
    """The answer of `handle`, or to what it raises. Raises SenderGone, and nothing else: the unforeseen is a 503."""
    seen = Seen()
    reply = await _admit(request, seen, rejecter, handle)
    return reply if seen.webhook is None else cors.allowing(reply, seen.webhook, seen.origin)


async def _admit(request: HookRequest, seen: Seen, rejecter: Rejecter, handle: Handle) -> HookReply:
    try:
        return await handle(request, read_headers(request), seen)
    except RequestRejected as error:
        if seen.beginning is not None:
            await seen.beginning.hear()
        reply = rejecter.reject(request, seen, error)
        return answers.bare(reply) if seen.bare else reply
    except SenderGone:
        rejecter.gone(seen)
        raise
    except StoreError as error:
        _log.warning("hook.store_unavailable", flow=seen.flow_id, error=error.message)
        return rejecter.reject(request, seen, CannotTake(retry_after=RETRY_AFTER))
    except Exception as error:  # noqa: BLE001 - a sender takes a 503 as "try again", and a 500 may be final
        _log.error("hook.defect", flow=seen.flow_id, exc_info=error)
        return rejecter.reject(request, seen, CannotTake(retry_after=RETRY_AFTER))
