"""The action `slack.open_view`."""

from typing import Annotated, Any, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from hookline.api import Context, JsonObject
from hookline_slack.connector import SlackApi, slack
from hookline_slack.failures import unreadable
from hookline_slack.web_api import call


class Opened(TypedDict):
    """A view that was opened."""

    id: str
    hash: NotRequired[str]
    """The hash of the view's state, for updates that must not overwrite a newer one."""
    state: NotRequired[JsonObject]


@slack.action(idempotent=True)
async def open_view(
    ctx: Context[SlackApi],
    trigger_id: Annotated[
        str,
        Field(
            min_length=1, description="The `trigger_id` of a command or an interaction, which is valid for 3 seconds."
        ),
    ],
    view: Annotated[JsonObject, Field(description="The view in Block Kit, such as a `modal`.")],
) -> Opened:
    """Open a modal for the person who has sent a command or pressed a button.

    A `trigger_id` opens one view, however often it is tried. The input is sent to the app's interactivity URL.
    """
    answer: Any = await call(ctx, "views.open", {"trigger_id": trigger_id, "view": view}, {"view": dict})
    made = {name: answer["view"][name] for name in ("id", "hash", "state") if name in answer["view"]}
    if not isinstance(made.get("id"), str):
        raise unreadable("views.open", "has no view's id")
    opened: Opened = made  # type: ignore[assignment]  # its keys are those above
    return opened
