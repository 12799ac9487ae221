"""The trigger `mqtt.messages`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import AfterValidator, Field

from hookline.api import BrokerMessage, ConsumeContext, Duration, Reach, StepError
from hookline_mqtt.connector import MqttLogin, mqtt
from hookline_mqtt.publish import ID_PROPERTY
from hookline_mqtt.topics import wrong_filter

if TYPE_CHECKING:
    from paho.mqtt.client import MQTTMessage

_UNKEPT: Final = 1000
"""The most messages of QoS 0 that wait; they can't be returned to the broker."""


def _filter(topic: str) -> str:
    if (wrong := wrong_filter(topic)) is not None:
        raise ValueError(wrong)
    return topic


@mqtt.consume
async def messages(
    ctx: ConsumeContext[MqttLogin],
    topics: Annotated[
        list[Annotated[str, AfterValidator(_filter)]],
        Reach("broker"),
        Field(min_length=1, description="Topic filters: `+` stands for one level, `#` at the end for all that follow."),
    ],
    qos: Annotated[
        Literal[0, 1],
        Field(
            description="1: the broker keeps messages until they are durable here, also while the flow isn't "
            "connected. 0: messages that arrive while the flow isn't connected, or faster than it accepts "
            "them, are lost."
        ),
    ] = 1,
    group: Annotated[
        str | None,
        Field(
            pattern=r"^[^/+#]+$",
            description="The name of a shared subscription: each message goes to one client of the group.",
        ),
    ] = None,
    retained: Annotated[
        bool, Field(description="Also receive the retained messages of the topics when the flow first subscribes.")
    ] = True,
    client_id: Annotated[
        str | None,
        Field(
            min_length=1,
            description="The client id of the session; by default the credential's prefix with the flow's id.",
        ),
    ] = None,
    session_expiry: Annotated[
        Duration, Field(description="The time for which the broker keeps messages while the flow isn't connected.")
    ] = timedelta(days=7),
) -> AsyncIterator[BrokerMessage]:
    """Starts an execution for each message of some topics.

    The message's body depends on its content type; without one, it is JSON or text if it can be. Anything else becomes
    an attachment named `body`. Its headers are the message's user properties, `content-type`, `response-topic`,
    `correlation-data`, and `mqtt-topic`, `mqtt-qos` and `mqtt-retain`.

    A message is acknowledged once it is durable here. A repeated message with the same `message-id`, a user property,
    starts nothing. Messages published with QoS 2 are received with QoS 1: with 2, a broker would forget them before
    they are durable here.
    """
    from paho.mqtt.client import topic_matches_sub

    from hookline_mqtt.connection import Connection
    from hookline_mqtt.received_mqtt_message import as_delivery

    inbox: asyncio.Queue[MQTTMessage] = asyncio.Queue()
    strangers: set[str] = set()
    dropped, present = 0, False

    def forget(message: "MQTTMessage") -> None:
        with suppress(StepError):
            connection.taken(message)

    def came(message: "MQTTMessage") -> None:
        nonlocal dropped
        if not any(topic_matches_sub(topic, message.topic) for topic in topics):
            # The session still has earlier subscriptions of the flow.
            if len(strangers) < _UNKEPT and message.topic not in strangers:
                strangers.add(message.topic)
                ctx.log.warning(
                    "a message is dropped: the flow doesn't subscribe to its topic any more", topic=message.topic
                )
            forget(message)
        elif message.retain and not connection.version5 and (present or not retained):
            # MQTT 3.1.1 sends it at each subscription.
            forget(message)
        elif message.qos == 0 and inbox.qsize() >= _UNKEPT:
            dropped += 1
            if dropped.bit_count() == 1:
                ctx.log.warning("messages of QoS 0 are dropped: too many are waiting", dropped=dropped)
        else:
            inbox.put_nowait(message)

    known_as = client_id or f"{ctx.credential.client_id}-{ctx.flow_id}"
    connection = Connection(
        ctx.resources,
        ctx.credential,
        known_as,
        keep=session_expiry.total_seconds() if qos else None,
        at_once=ctx.prefetch,
    )
    connection.on_message = came
    waiting: asyncio.Task[MQTTMessage] | None = None
    try:
        present = await connection.connect()
        named = topics if group is None else [f"$share/{group}/{topic}" for topic in topics]
        await connection.subscribe(named, qos, retained=retained)
        ctx.listening()
        while True:
            waiting = asyncio.ensure_future(inbox.get())
            await asyncio.wait((waiting, connection.lost), return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                raise connection.lost.result()
            yield as_delivery(connection, waiting.result(), ID_PROPERTY)
    finally:
        if waiting is not None:
            waiting.cancel()
        await connection.close()
