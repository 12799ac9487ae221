"""The trigger `paypal.events`: a webhook of the app, created and removed by itself."""

from typing import Annotated, Any, Final

from pydantic import Field

from hookline.api import StepError, Subscription, SubscriptionContext
from hookline_paypal.connector import PayPalApi, paypal
from hookline_paypal.failures import Rejected, unreadable
from hookline_paypal.rest import ask, ask_object, part

_PATH: Final = "/v1/notifications/webhooks"
_TAKEN: Final = "paypal.webhook_url_already_exists"
_GONE: Final = frozenset({"paypal.invalid_resource_id", "paypal.resource_not_found", "http.404"})


@paypal.webhook(scheme="paypal", secret_field="webhook_id", gives_secret=True)  # noqa: S106 - the name of a field
async def events(
    ctx: SubscriptionContext[PayPalApi],
    events: Annotated[
        list[str],
        Field(
            min_length=1, description="The types of events, such as `PAYMENT.CAPTURE.COMPLETED`; `*` means all types."
        ),
    ],
) -> Subscription:
    """Starts an execution for each event of a PayPal app.

    The webhook is created when the flow starts, and removed when the flow is stopped or deleted; an app may have ten.
    The body is the event: `event_type`, `resource` and more. PayPal sends only to https://, so HOOKLINE_PUBLIC_URL
    has to begin with it.
    """
    types = [{"name": name} for name in sorted(set(events))]
    found = await _at(ctx)
    if found is None:
        try:
            wanted = {"url": ctx.url, "event_types": types}
            made = await ask_object(ctx, "POST", _PATH, json=wanted, gives={"id": str})
            return _subscription(ctx, str(made["id"]))
        except Rejected as error:
            # Somebody was quicker: an earlier request of ours, perhaps, whose answer never came.
            found = await _at(ctx) if error.error_code == _TAKEN else None
            if found is None:
                raise
    change = [{"op": "replace", "path": "/event_types", "value": types}]
    await ask(ctx, "PATCH", f"{_PATH}/{part(found)}", json=change)
    return _subscription(ctx, found)


@events.unsubscribe
async def remove(ctx: SubscriptionContext[PayPalApi]) -> None:
    """Remove the webhook."""
    try:
        await ask(ctx, "DELETE", f"{_PATH}/{part(ctx.known['webhook'])}")
    except StepError as error:
        if error.error_code not in _GONE:
            raise


@events.renew(every="1d")
async def look(ctx: SubscriptionContext[PayPalApi]) -> Subscription | None:
    """Check that the webhook still exists and still sends to this flow."""
    found = await _at(ctx)
    return None if found is None or found != ctx.known["webhook"] else _subscription(ctx, found)


async def _at(ctx: SubscriptionContext[PayPalApi]) -> str | None:
    """The id of the app's webhook that sends to the flow; PayPal allows only one for a URL."""
    answer: Any = await ask_object(ctx, "GET", _PATH, gives={"webhooks": list})
    for webhook in answer["webhooks"]:
        if isinstance(webhook, dict) and webhook.get("url") == ctx.url:
            if not isinstance(webhook.get("id"), str):
                raise unreadable(f"GET {_PATH}", "has a webhook without an id")
            return str(webhook["id"])
    return None


def _subscription(ctx: SubscriptionContext[PayPalApi], webhook_id: str) -> Subscription:
    # What PayPal signs holds the webhook's id, and is signed with PayPal's own key: the id is what has to be known.
    return Subscription({"api": ctx.credential.base_url, "webhook": webhook_id}, secret=webhook_id)
