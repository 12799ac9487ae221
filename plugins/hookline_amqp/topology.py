"""The queues, exchanges and bindings that a trigger declares before it consumes."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Binding(BaseModel):
    """A binding of a queue to an exchange."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    exchange: str = Field(min_length=1, description="The exchange.")
    type: Literal["direct", "fanout", "topic", "headers"] | None = Field(
        default=None,
        description="The exchange's type, to declare it too, as durable; without it, the exchange must exist.",
    )
    routing_key: str = Field(
        default="", description="The routing key, or for the type `topic`, a pattern such as `order.*`."
    )
    arguments: dict[str, Any] = Field(default_factory=dict, description="The arguments, for the type `headers`.")


class Declare(BaseModel):
    """A queue, which stays when it has no consumer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["quorum", "classic"] = Field(
        default="quorum",
        description="The type of the queue: `quorum` is replicated, and declared without a delivery limit; `classic` "
        "isn't replicated.",
    )
    durable: bool = Field(
        default=True, description="True if the queue survives a restart of the broker; a quorum queue always does."
    )
    dead_letter_exchange: str | None = Field(
        default=None, description="The exchange for rejected messages; without it, the broker drops them."
    )
    dead_letter_routing_key: str | None = Field(default=None, description="The routing key of rejected messages.")
    arguments: dict[str, Any] = Field(
        default_factory=dict, description="Further arguments, such as `x-max-length` or `x-single-active-consumer`."
    )
    bindings: tuple[Binding, ...] = Field(default=(), description="The bindings to exchanges.")

    def queue_arguments(self) -> dict[str, Any]:
        """Return all arguments of the queue."""
        made: dict[str, Any] = {"x-queue-type": self.type}
        if self.type == "quorum":
            # Each lost connection counts as a delivery of the unacknowledged messages: with its default limit of 20,
            # the broker would drop messages that nobody has rejected.
            made["x-delivery-limit"] = -1
        if self.dead_letter_exchange is not None:
            made["x-dead-letter-exchange"] = self.dead_letter_exchange
        if self.dead_letter_routing_key is not None:
            made["x-dead-letter-routing-key"] = self.dead_letter_routing_key
        return made | self.arguments
