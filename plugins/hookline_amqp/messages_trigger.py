"""The trigger `amqp.messages`."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import Field

from hookline.api import BrokerMessage, ConsumeContext, Reach, StepError
from hookline_amqp.connector import AmqpLogin, amqp
from hookline_amqp.topology import Declare

if TYPE_CHECKING:
    from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

_ANSWER: Final = 10.0
"""Seconds within which the broker must answer."""


@amqp.consume
async def messages(
    ctx: ConsumeContext[AmqpLogin],
    queue: Annotated[str, Reach("broker"), Field(min_length=1, max_length=255, description="The queue.")],
    declare: Annotated[
        Declare | None,
        Reach("broker"),
        Field(description="Declare the queue and its bindings; otherwise the queue must exist."),
    ] = None,
    rejected: Annotated[
        Literal["reject", "acknowledge"],
        Field(
            description="The answer to the broker for a message that the flow rejects: `reject` sends it to the "
            "queue's dead-letter exchange; `acknowledge` drops it."
        ),
    ] = "reject",
) -> AsyncIterator[BrokerMessage]:
    """Starts an execution for each message in a queue.

    The message's body depends on its content type: JSON and XML become values, text stays text, and anything else
    becomes an attachment named `body`. Its headers are those of the message, its properties (`message-id`,
    `correlation-id`, `reply-to`, `type`, …), and `amqp-exchange`, `amqp-routing-key` and `amqp-redelivered`.

    A message is acknowledged once it is durable here. A repeated message with the same message id starts nothing.
    """
    from aio_pika.abc import AbstractIncomingMessage

    from hookline_amqp.connection import connected
    from hookline_amqp.failures import as_step_error, told
    from hookline_amqp.received_amqp_message import as_delivery

    inbox: asyncio.Queue[AbstractIncomingMessage | StepError] = asyncio.Queue()
    where = f"queue {queue!r} at {ctx.credential.shown}"
    async with connected(ctx.resources, ctx.credential, f"hookline: {ctx.flow_id}") as connection:

        def closed(_: Any, error: BaseException | None) -> None:
            inbox.put_nowait(as_step_error(error, where))

        def cancelled(_frame: Any) -> None:
            inbox.put_nowait(
                StepError(
                    f"{where}: the broker has ended the subscription; the queue has perhaps been deleted",
                    code="amqp.not_found",
                )
            )

        with told(where):
            channel = connection.channel(publisher_confirms=False)
            await channel.initialize(timeout=_ANSWER)
            channel.close_callbacks.add(closed)
            connection.close_callbacks.add(closed)
            (await channel.get_underlay_channel()).on_consumer_cancel_callbacks.add(cancelled)
            await channel.set_qos(prefetch_count=ctx.prefetch, timeout=_ANSWER)
            if declare is not None:
                await _declare(channel, queue, declare)
            source = await channel.get_queue(queue, ensure=False)
            await source.consume(partial(_put, inbox), timeout=_ANSWER)
        ctx.listening()
        try:
            while True:
                came = await inbox.get()
                if isinstance(came, StepError):
                    raise came
                yield as_delivery(came, rejected, ctx.exact)
        finally:
            # From here on, a closed connection is not a failure.
            channel.close_callbacks.discard(closed)
            connection.close_callbacks.discard(closed)


async def _put(inbox: "asyncio.Queue[Any]", message: "AbstractIncomingMessage") -> None:
    inbox.put_nowait(message)


async def _declare(channel: "AbstractChannel", name: str, declare: Declare) -> None:
    queue = await channel.declare_queue(
        name, durable=declare.durable, arguments=declare.queue_arguments(), timeout=_ANSWER
    )
    for binding in declare.bindings:
        if binding.type is not None:
            await channel.declare_exchange(binding.exchange, binding.type, durable=True, timeout=_ANSWER)
        await queue.bind(binding.exchange, binding.routing_key, arguments=binding.arguments or None, timeout=_ANSWER)
