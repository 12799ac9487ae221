"""Which flows ask for a subscription, and which no more."""

import secrets
from collections.abc import Collection, Iterable, Mapping
from typing import Final
from urllib.parse import quote

from hookline.discovery.registry import Registry
from hookline.flows.compiler.compiled import CompiledFlow
from hookline.model.merge_model_subscription import Asked
from hookline.sources.source import Source, SourceServices
from hookline.sources.subscription import SubscriptionSource, asked_of
from hookline.sources.subscription_calls import SubscriptionCalls
from hookline.sources.subscription_store import Subscriptions

#: Bytes of a secret: its hexadecimal digits are text in every header, and base64 as well.
_SECRET: Final = 32


class Subscribing:
    """Makes the sources that look after subscriptions."""

    def __init__(self, kept: Subscriptions, registry: Registry, public_url: str, *, public_url_set: bool) -> None:
        self._kept = kept
        self._registry = registry
        self._public_url = public_url.rstrip("/")
        self._public_url_set = public_url_set

    def asked(self, flows: Iterable[CompiledFlow], broken: Collection[str]) -> Mapping[str, Asked | None]:
        """What each flow asks for, of those that take messages; None of flows that ask for nothing any more.

        Of flows that are broken, so that it isn't known what they ask for, nothing is changed.
        """
        asked: dict[str, Asked | None] = {flow_id: None for flow_id in self._kept.flows if flow_id not in broken}
        for flow in flows:
            subscribes = flow.trigger.subscribes
            if subscribes is not None:
                url = f"{self._public_url}/hook/{quote(flow.id, safe='')}"
                asked[flow.id] = asked_of(flow.trigger.use, flow.trigger.credential, subscribes.given, url)
        return asked

    def source(self, flow_id: str, asked: Asked | None, services: SourceServices) -> Source:
        """What brings the provider to what a flow asks for."""
        calls = SubscriptionCalls(flow_id, self._registry, services.engine, services.describe)
        return SubscriptionSource(
            flow_id,
            asked,
            self._kept,
            calls,
            services,
            lambda: secrets.token_hex(_SECRET),
            public_url=self._public_url_set,
        )
