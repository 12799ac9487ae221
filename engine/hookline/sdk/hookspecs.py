"""The hooks, with which a plugin registers its parts. Each is called once, when the plugins are loaded."""

from collections.abc import Mapping, Sequence
from typing import Any

import pluggy

from hookline.sdk.connector import Connector
from hookline.sdk.mappers import Mapper, TemplateFilter
from hookline.sdk.schemes import Scheme
from hookline.sdk.site_pages import Site
from hookline.sdk.triggers import Trigger
from hookline.storage.backend import BackendFactory
from hookline.storage.blobs import BlobStoreFactory
from hookline.storage.intake_queue import IntakeQueueFactory

hookspec = pluggy.HookspecMarker("hookline")
hookimpl = pluggy.HookimplMarker("hookline")
"""The decorator of a plugin's implementation of a hook."""


@hookspec
def register_connectors() -> Sequence[Connector]:
    """Return connectors, whose actions and triggers flows can use."""
    return ()


@hookspec
def register_mappers() -> Sequence[Mapper]:
    """Return mappers, which are expression languages."""
    return ()


@hookspec
def register_triggers() -> Sequence[Trigger]:
    """Return triggers that belong to no connector."""
    return ()


@hookspec
def register_schemes() -> Sequence[Scheme[Any, Any]]:
    """Return schemes, which verify the senders of webhooks."""
    return ()


@hookspec
def register_backends() -> Mapping[str, BackendFactory]:
    """Return the factories of backends by URL scheme, such as `sqlite`."""
    return {}


@hookspec
def register_blob_stores() -> Mapping[str, BlobStoreFactory]:
    """Return the factories of blob stores by URL scheme, such as `file`."""
    return {}


@hookspec
def register_intake_queues() -> Mapping[str, IntakeQueueFactory]:
    """Return the factories of intake queues by URL scheme, such as `nats`."""
    return {}


@hookspec
def register_template_filters() -> Mapping[str, TemplateFilter]:
    """Return the filters of templates by name: pure functions of a JSON value and of arguments."""
    return {}


@hookspec
def register_pages() -> Sequence[Site]:
    """Return sites, whose pages the server shows to people in a browser."""
    return ()
