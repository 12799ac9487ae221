"""What a request becomes: the envelope of its message, with the key that tells whether it came before."""

from datetime import datetime, timedelta

from hookline.clock import Clock
from hookline.flows.compiled import CompiledFlow
from hookline.flows.keys import arrival_scope, bounded
from hookline.ids import Ids
from hookline.model.message import Arrival, Envelope, Message
from hookline.model.webhook import WebhookSettings
from hookline.scheme import Verified
from hookline.service.bodies.properties import lenient_query
from hookline.service.bodies.received import Received
from hookline.service.clients import Address
from hookline.service.request_headers import Headers


class Envelopes:
    """Makes envelopes."""

    def __init__(self, clock: Clock, ids: Ids) -> None:
        self._clock = clock
        self._ids = ids

    def of(
        self,
        flow: CompiledFlow,
        webhook: WebhookSettings,
        headers: Headers,
        received: Received,
        verified: Verified | None,
        *,
        method: str,
        path: str,
        query: bytes,
        received_at: datetime,
        sender: Address | None,
    ) -> Envelope:
        """The envelope of what was received, in all of which secrets are masked.

        Raises SchemaViolation where the flow has a dedupe key and the message gives none.
        """
        trigger = flow.trigger
        message = Message(received.body, headers.joined, received.attachments)
        arrival = Arrival(
            use=trigger.use,
            method=method,
            path=path,
            query=lenient_query(query) if query else {},
            received_at=received_at,
            verified_by=trigger.scheme.name if trigger.scheme is not None else None,
            client=str(sender) if sender is not None else None,
            scheme_id=verified.dedupe_key if verified is not None else None,
        )
        key: str | None = None
        if trigger.dedupe_key is not None:
            key = trigger.dedupe_key.text(arrival_scope(message, arrival, flow.vars))
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
            body_json=received.json,
            raw=received.raw,
            raw_headers=headers.received,
            exact=flow.exact,
        )


def _window(flow: CompiledFlow, webhook: WebhookSettings) -> timedelta:
    scheme = flow.trigger.scheme
    if scheme is None:
        return webhook.dedupe_window
    return max(webhook.dedupe_window, scheme.remembers(flow.trigger.scheme_settings))
