"""The hooks: what a plugin can give. Each is called once, when an engine is made."""

from collections.abc import Mapping, Sequence
from typing import Any

import pluggy

from hookline.sdk.connector import Connector
from hookline.sdk.mappers import Mapper, TemplateFilter
from hookline.sdk.schemes import Scheme
from hookline.sdk.triggers import Trigger
from hookline.storage.backend import BackendFactory
from hookline.storage.blobs import BlobStoreFactory

hookspec = pluggy.HookspecMarker("hookline")
hookimpl = pluggy.HookimplMarker("hookline")


@hookspec
def register_connectors() -> Sequence[Connector]:
    """Connectors, whose actions steps can use."""
    return ()


@hookspec
def register_mappers() -> Sequence[Mapper]:
    """Expression languages."""
    return ()


@hookspec
def register_triggers() -> Sequence[Trigger]:
    """What can start a flow."""
    return ()


@hookspec
def register_schemes() -> Sequence[Scheme[Any, Any]]:
    """Ways of verifying who sent a webhook."""
    return ()


@hookspec
def register_backends() -> Mapping[str, BackendFactory]:
    """Stores and queues, each under the URL scheme that asks for it, such as `sqlite`."""
    return {}


@hookspec
def register_blob_stores() -> Mapping[str, BlobStoreFactory]:
    """Stores for files, each under the URL scheme that asks for it, such as `file`."""
    return {}


@hookspec
def register_template_filters() -> Mapping[str, TemplateFilter]:
    """Filters for templates, each under its name: pure functions of a JSON value, and of arguments, that give one."""
    return {}
