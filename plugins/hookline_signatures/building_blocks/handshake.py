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
        """Ignore the bytes: nothing depends on them."""

    async def finish(self) -> Verified:
        """Return the response, with which no flow starts."""
        return Verified(response=self._response)


def echo(text: str | None) -> Answered:
    """The response with the given text, as plain text. Raises NotVerified if the text is empty or too long."""
    if not text or len(text) > _LONGEST:
        raise NotVerified("there is nothing to echo, or too much of it")
    return Answered(WebhookResponse(200, text.encode(), "text/plain; charset=utf-8"))
