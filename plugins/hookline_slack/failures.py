"""Converting Slack's error responses to errors of steps."""

import re
from collections.abc import Mapping
from typing import Any, Final

from hookline.api import AuthExpired, JsonObject, RateLimited, Response, StepError, Unavailable

_WORD: Final = re.compile(r"[a-z][a-z0-9_]{0,79}")
_LONGEST_WAIT: Final = 86400.0
_MOST_DETAILS: Final = 5

#: The token is none, or none any more.
_CREDENTIAL: Final = frozenset({"invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired"})
_LIMITED: Final = frozenset({"ratelimited", "rate_limited", "message_limit_exceeded"})
#: Of these some may have been done; the others say that nothing was.
_PERHAPS_DONE: Final = frozenset({"internal_error", "fatal_error", "request_timeout"})
_PASSING: Final = _PERHAPS_DONE | {"service_unavailable", "team_added_to_org", "org_login_required"}

_REMEDIES: Final[Mapping[str, str]] = {
    "not_in_channel": "invite the app to the channel, or give it the scope chat:write.public",
    "channel_not_found": "use the channel's id, and invite the app to a private channel",
    "is_archived": "unarchive the channel, or choose another",
    "msg_too_long": "shorten the text, or upload it as a file",
    "cant_update_message": "an app changes its own messages only",
    "cant_delete_message": "an app deletes its own messages only",
    "expired_trigger_id": "a view has to be opened within 3 seconds of the interaction",
    "exchanged_trigger_id": "a trigger_id opens one view only",
    "users_not_found": "nobody in the workspace has this address",
    "expired_url": "a response_url is valid for 30 minutes",
    "used_url": "a response_url is valid for 5 answers",
    "no_service": "the incoming webhook was removed, or its URL is wrong",
    "invalid_token": "the incoming webhook was removed, or its URL is wrong",
}
#: What an incoming webhook says of a URL that is none, or none any more.
_REMOVED_HOOKS: Final = frozenset({"invalid_token", "no_service", "no_service_id", "no_team", "team_disabled"})


def rejected(what: str, error: Any, answer: JsonObject | None = None) -> StepError:
    """The error for a rejection; `answer` is the body of Slack's response.

    Its code is `slack.<error>` with Slack's own word, or `slack.error` if there is none.
    """
    word = error if isinstance(error, str) and _WORD.fullmatch(error) else "error"
    answer = answer or {}
    text = f"Slack rejected {what}: {word}"
    details = list(_details(word, answer))
    if details:
        text += f" ({'; '.join(details)})"
    code = f"slack.{word}"
    if word in _CREDENTIAL:
        return AuthExpired(text, code=code)
    if word in _LIMITED:
        return RateLimited(text, code=code)
    if word in _PASSING:
        return Unavailable(text, code=code, outcome_unknown=word in _PERHAPS_DONE)
    return StepError(text, code=code)


def rejected_hook(what: str, error: Any) -> StepError:
    """The error for a rejection by a webhook's URL, which is a credential of its own."""
    made = rejected(what, error)
    if error in _REMOVED_HOOKS:
        return AuthExpired(made.message, code=made.error_code)
    return made


def check_status(what: str, response: Response) -> None:
    """Raise RateLimited for 429, and Unavailable for 5xx."""
    if response.status == 429:
        after = _seconds(response.headers.get("retry-after"))
        raise RateLimited(f"Slack wants fewer requests of {what}", code="slack.ratelimited", retry_after=after)
    if response.status >= 500:
        raise Unavailable(
            f"Slack answered {what} with {response.status}", code=f"http.{response.status}", outcome_unknown=True
        )


def unreadable(what: str, lacks: str) -> StepError:
    """The error for a response that doesn't match Slack's documentation."""
    return StepError(f"Slack's answer to {what} {lacks}", code="slack.answer", outcome_unknown=True)


def _details(word: str, answer: JsonObject) -> list[str]:
    found: list[str] = []
    if word == "missing_scope":
        needed, provided = answer.get("needed"), answer.get("provided")
        if isinstance(needed, str):
            found.append(f"the token lacks the scope {needed}" + (f"; it has {provided}" if provided else ""))
    metadata = answer.get("response_metadata")
    messages = metadata.get("messages") if isinstance(metadata, dict) else None
    for source in (messages, answer.get("errors")):
        if isinstance(source, list):
            found += [one for one in source if isinstance(one, str)]
    if word in _REMEDIES:
        found.append(_REMEDIES[word])
    return found[:_MOST_DETAILS]


def _seconds(value: str | None) -> float | None:
    text = (value or "").strip()
    return min(float(text), _LONGEST_WAIT) if text.isascii() and text.isdigit() else None
