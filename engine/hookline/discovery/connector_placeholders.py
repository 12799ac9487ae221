"""Placeholders for the actions and triggers of connectors that aren't loaded, on a node that only accepts messages.

With them, a flow is compiled as far as accepting its messages needs it. A node with connectors has checked the flow
when it was deployed, and runs its executions.
"""

from collections.abc import Sequence
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from hookline.discovery.plugin_description import ConnectorPart, PluginDescription, TriggerPart
from hookline.kernel.errors import NoConnectors
from hookline.model.sources import ConsumeSettings, PollSettings
from hookline.model.webhook import subscribed_settings
from hookline.sdk.action import Action
from hookline.sdk.poll import PollTrigger
from hookline.sdk.triggers import ConnectorTrigger, ConsumeTrigger, WebhookTrigger

_UNKNOWN_TYPE: Final = ("unknown",)


class _AnySettings(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)


class _AnyPoll(PollSettings):
    model_config = ConfigDict(extra="allow")


class _AnyConsumer(ConsumeSettings):
    model_config = ConfigDict(extra="allow")


class _AnySubscription(subscribed_settings("Subscribed", {})):  # type: ignore[misc] # it is made of the settings of a webhook
    model_config = ConfigDict(extra="allow")


async def _no_connectors(*_: object, **__: object) -> Any:
    raise NoConnectors


def unloaded_action(name: str, credential: object) -> Action:
    """Return an action that takes any settings and can't run. `credential`: that of the step, or None."""
    return Action(
        name=name,
        run=_no_connectors,
        settings=_AnySettings,
        takes_context=False,
        credential=None,
        credential_types=() if credential is None else _UNKNOWN_TYPE,
        summary="",
        description="",
        returns=Any,
        pure=False,
        unavailable=None,
        parameters={},
        connector=name.partition(".")[0],
    )


def unloaded_triggers(plugin: PluginDescription) -> Sequence[ConnectorTrigger]:
    """Return the triggers of a plugin's connectors, which take any settings of their own and can't run."""
    return [_trigger(connector, trigger) for connector in plugin.connectors for trigger in connector.triggers]


def _trigger(connector: ConnectorPart, trigger: TriggerPart) -> ConnectorTrigger:
    name, title, requests = trigger.name, trigger.title, trigger.requests
    types = (*(() if connector.credential is None else (connector.credential,)), *connector.accepts)
    if requests is not None:
        return WebhookTrigger(
            name,
            title,
            _AnySubscription,
            credential_types=types,
            scheme=requests.scheme,
            scheme_settings=requests.settings,
            secret_field=requests.secret_field,
        )
    if trigger.polls:
        return PollTrigger(name, title, _AnyPoll, credential_types=types)
    return ConsumeTrigger(name, title, _AnyConsumer, credential_types=types)
