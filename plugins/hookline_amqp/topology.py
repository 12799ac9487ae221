"""The queues, exchanges and bindings that a trigger declares before it consumes."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Binding(BaseModel):
    """A binding of a queue to an exchange."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    exchange: str = Field(min_length=1, description="The exchange.")
    type: Literal["direct", "fanout", "topic", "headers"] | None = Field(
        default=None, description="Its type, where it is to be declared as well, durable; otherwise it has to be there."
    )
    routing_key: str = Field(default="", description="The routing key, or with `topic` a pattern such as `order.*`.")
    arguments: dict[str, Any] = Field(default_factory=dict, description="Arguments, as `headers` exchanges take.")


class Declare(BaseModel):
    """A queue, which stays when nobody listens."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["quorum", "classic"] = Field(
        default="quorum", description="`quorum` is replicated, here without a limit to deliveries; `classic` isn't."
    )
    durable: bool = Field(default=True, description="Whether it outlives a restart of the broker; a quorum queue does.")
    dead_letter_exchange: str | None = Field(
        default=None, description="Where messages go that are rejected; without one the broker drops them."
    )
    dead_letter_routing_key: str | None = Field(default=None, description="With which routing key they go there.")
    arguments: dict[str, Any] = Field(
        default_factory=dict, description="Further arguments, such as `x-max-length` or `x-single-active-consumer`."
    )
    bindings: tuple[Binding, ...] = Field(default=(), description="What it gets from exchanges.")

    def queue_arguments(self) -> dict[str, Any]:
        """All arguments of the queue."""
        made: dict[str, Any] = {"x-queue-type": self.type}
        if self.type == "quorum":
            # Each connection that is lost counts as a delivery of what wasn't acknowledged: by the broker's own limit
            # of 20 it would drop messages that nobody has rejected.
            made["x-delivery-limit"] = -1
        if self.dead_letter_exchange is not None:
            made["x-dead-letter-exchange"] = self.dead_letter_exchange
        if self.dead_letter_routing_key is not None:
            made["x-dead-letter-routing-key"] = self.dead_letter_routing_key
        return made | self.arguments
