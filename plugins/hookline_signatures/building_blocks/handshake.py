"""Handshakes that providers make before they send anything, and don't sign."""

from typing import Final

from hookline.api import NotVerified, Verified, WebhookResponse

#: Providers send some dozens of characters; what is echoed is what anybody may ask for.
_LONGEST: Final = 2000


class Answered:
    """The request is a handshake, and this is the answer."""

    def __init__(self, answer: WebhookResponse) -> None:
        self._response = answer

    def feed(self, chunk: bytes) -> None:
        """Nothing depends on it."""

    async def finish(self) -> Verified:
        """Nothing is started."""
        return Verified(response=self._response)


def echo(text: str | None) -> Answered:
    """The answer that says what was asked for, as plain text. Raises NotVerified where that is nothing, or too much."""
    if not text or len(text) > _LONGEST:
        raise NotVerified("there is nothing to echo, or too much of it")
    return Answered(WebhookResponse(200, text.encode(), "text/plain; charset=utf-8"))
