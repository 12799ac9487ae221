"""Converting PayPal's error responses to errors of steps."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from hookline.api import AuthExpired, JsonObject, RateLimited, Response, StepError, Unavailable

_WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,79}")
_LONGEST_WAIT: Final = 86400.0
_MOST_DETAILS: Final = 5
_LONGEST: Final = 300
#: The same request is still being worked on; its answer comes once that is done.
_UNDER_WAY: Final = frozenset({"previous_request_in_progress", "resource_conflict"})

_REMEDIES: Final[Mapping[str, str]] = {
    "order_not_approved": "the payer hasn't approved it yet: send the payer to the order's `approve_url`",
    "not_authorized": "the app lacks a feature: Developer Dashboard, the app, Features",
    "permission_denied": "the app lacks a feature: Developer Dashboard, the app, Features",
    "insufficient_funds": "the account's balance doesn't cover it",
}


class Rejected(StepError):
    """PayPal rejected a request."""

    def __init__(self, message: str, answer: JsonObject, **said: Any) -> None:
        super().__init__(message, **said)
        self.answer = answer
        """The body of PayPal's response."""


def check(what: str, response: Response) -> None:
    """Raise StepError for a status of 400 or above: AuthExpired, RateLimited or Unavailable if it means that."""
    status = response.status
    if status < 400:
        return
    answer = _object(response)
    word = _word(answer)
    code = f"paypal.{word}" if word else f"http.{status}"
    text = f"PayPal rejected {what} with {status}"
    if word:
        text += f": {word}"
    if details := list(_details(word, answer)):
        text += f" ({'; '.join(details)})"
    if status == 401:
        raise AuthExpired(text, code=code)
    if status == 429:
        raise RateLimited(text, code=code, retry_after=_seconds(response.headers.get("retry-after")))
    if status >= 500:
        raise Unavailable(text, code=code, outcome_unknown=True)
    raise Rejected(text, answer, code=code, retryable=status == 408 or word in _UNDER_WAY)


def unreadable(what: str, lacks: str) -> StepError:
    """The error for a response that doesn't match PayPal's documentation."""
    return StepError(f"PayPal's answer to {what} {lacks}", code="paypal.answer", outcome_unknown=True)


def _object(response: Response) -> JsonObject:
    try:
        answer = response.json()
    except StepError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _word(answer: JsonObject) -> str:
    """The issue of the first detail that has one, or else the error's name; the token's endpoint says `error`."""
    for one in (*(detail.get("issue") for detail in _listed(answer)), answer.get("name"), answer.get("error")):
        if isinstance(one, str) and _WORD.fullmatch(one):
            return one.lower()
    return ""


def _details(word: str, answer: JsonObject) -> Iterator[str]:
    for name in ("message", "error_description"):
        if text := _text(answer.get(name)):
            yield text
    for detail in _listed(answer):
        text = _text(detail.get("description")) or _text(detail.get("issue"))
        field = _text(detail.get("field"))
        if text or field:
            yield f"{field}: {text}" if field else text
    if word in _REMEDIES:
        yield _REMEDIES[word]
    if debug_id := _text(answer.get("debug_id")):
        yield f"debug_id {debug_id}"


def _listed(answer: JsonObject) -> list[dict[str, Any]]:
    details = answer.get("details")
    return [one for one in details if isinstance(one, dict)][:_MOST_DETAILS] if isinstance(details, list) else []


def _text(value: Any) -> str:
    return " ".join(value.split())[:_LONGEST].rstrip(".") if isinstance(value, str) else ""


def _seconds(value: str | None) -> float | None:
    text = (value or "").strip()
    return min(float(text), _LONGEST_WAIT) if text.isascii() and text.isdigit() else None
