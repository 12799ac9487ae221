"""What a request becomes: the envelope of its message, with the key that tells whether it came before."""

from datetime import timedelta

from hookline.bodies.forms import lenient_query
from hookline.flows.compiler.compiled import CompiledFlow
from hookline.flows.elements.message_keys import arrival_scope, bounded
from hookline.kernel.ids import Ids
from hookline.kernel.time import Clock
from hookline.model.message import Arrival, Envelope, Message
from hookline.model.webhook import WebhookSettings
from hookline.service.hooks.receive import Taken


class Envelopes:
    """Makes envelopes."""

    def __init__(self, clock: Clock, ids: Ids) -> None:
        self._clock = clock
        self._ids = ids

    def all_of(self, flow: CompiledFlow, webhook: WebhookSettings, taken: Taken, path: str) -> list[Envelope]:
        """The envelopes of a request to start a flow; `path` is what follows the flow's id in its URL.

        There is one, unless the flow's trigger makes another number of messages of its requests. Raises SchemaViolation
        where the flow has a dedupe key and a message gives none.
        """
        received, headers = taken.received, taken.headers.joined
        if taken.messages is None:
            message = Message(received.body, headers, received.attachments)
            return [self._envelope(flow, webhook, taken, path, message, None, json=received.json, raw=received.raw)]
        several = len(taken.messages) > 1
        # The bytes that several came in are those of none of them.
        raw = None if several else received.json or received.raw
        return [
            self._envelope(
                flow,
                webhook,
                taken,
                path,
                Message(each.body, headers, each.attachments),
                each.id,
                json=None,
                raw=raw,
                of_several=several,
            )
            for each in taken.messages
        ]

    def _envelope(
        self,
        flow: CompiledFlow,
        webhook: WebhookSettings,
        taken: Taken,
        path: str,
        message: Message,
        message_id: str | None,
        *,
        json: bytes | None,
        raw: bytes | None,
        of_several: bool = False,
    ) -> Envelope:
        trigger, headers, verified = flow.trigger, taken.headers, taken.verified
        arrival = Arrival(
            use=trigger.use,
            method=taken.method,
            path=path,
            query=lenient_query(taken.query) if taken.query else {},
            received_at=taken.received_at,
            verified_by=taken.verified_by,
            client=str(taken.sender) if taken.sender is not None else None,
            # An id of the request tells none of its messages from the others.
            scheme_id=verified.dedupe_key if verified is not None and not of_several else None,
        )
        key: str | None = None
        if trigger.dedupe_key is not None:
            key = trigger.dedupe_key.text(arrival_scope(message, arrival, flow.vars))
        elif message_id is not None:
            key = bounded(f"m:{message_id}")
        elif arrival.scheme_id is not None:
            key = bounded(f"v:{arrival.scheme_id}")
        accepted_at = self._clock.now()
        return Envelope(
            execution_id=self._ids.new(),
            flow_id=flow.id,
            message=message,
            arrival=arrival,
            accepted_at=accepted_at,
            dedupe_key=key,
            dedupe_until=accepted_at + _window(flow, webhook) if key is not None else None,
            body_json=json,
            raw=raw,
            raw_headers=headers.received,
            exact=flow.exact,
        )


def _window(flow: CompiledFlow, webhook: WebhookSettings) -> timedelta:
    scheme = flow.trigger.scheme
    if scheme is None:
        return webhook.dedupe_window
    return max(webhook.dedupe_window, scheme.remembers(flow.trigger.scheme_settings))
