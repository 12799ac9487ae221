"""The text of the connector's page in the reference: a description, its errors and an example flow."""

from collections.abc import Mapping
from typing import Any, Final

DESCRIPTION: Final = """
Posts messages, changes and deletes them, shares files, opens views, answers commands, and looks up channels and people,
by Slack's Web API, incoming webhooks and response URLs. A `webhook` with the scheme `slack` receives Slack's requests.

At Slack: Your Apps, the app; under OAuth & Permissions it gets the scopes that each action names, is installed in the
workspace, and has its bot token.

    hookline credentials set slack-bot --type slack-api token=-

An incoming webhook needs its URL alone: `hookline credentials set slack-alerts --type slack-api webhook_url=-`.
"""

ERRORS: Final[Mapping[str, str]] = {
    "slack.<error>": "Slack rejected the request, in its words: `slack.channel_not_found`, `slack.missing_scope` and "
    "so on. `slack.invalid_auth`, `slack.token_revoked` and their like say "
    "that the credential doesn't work any more; `slack.internal_error` and the like are tried again.",
    "slack.ratelimited": "Slack asks for fewer requests; the step is tried again when Slack says.",
    "slack.answer": "The response doesn't match Slack's documentation; the request may have taken effect.",
    "slack.attachment": "`file` names no attachment of the message, or several.",
    "slack.no_text": "The message has neither text nor blocks.",
    "slack.response_url": "The URL isn't one of Slack's.",
    "slack.token": "The credential has no bot token, and the action needs one.",
    "slack.upload": "Slack accepted the file's name, but not the file.",
    "slack.webhook_url": "The credential has no incoming webhook, and the action needs one.",
}

EXAMPLE: Final[Mapping[str, Any]] = {
    "id": "refund-requests",
    "trigger": {"use": "webhook", "with": {"verify": {"scheme": "bearer", "credential": "shop"}}},
    "vars": {"channel": "C0123456789"},
    "steps": [
        {
            "id": "ask",
            "use": "slack.post_message",
            "credential": "slack-bot",
            "with": {"channel": "$.vars.channel", "text": "Refund {{ body.amount }} for order {{ body.order }}?"},
            "delivery": "at_most_once",
        },
        {
            "id": "mark",
            "use": "slack.add_reaction",
            "credential": "slack-bot",
            "with": {"channel": "$.body.channel", "ts": "$.body.ts", "name": "hourglass"},
        },
    ],
}
