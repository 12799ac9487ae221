"""The facades of the engine's parts have all methods of these parts, but `close` is not allowed."""

from collections.abc import Callable
from typing import Any

import pytest

from hookline.api import HttpClient
from hookline.plugin_host.engine_facades import BlobsFacade, CloseNotAllowed, HttpClientFacade, ResourcesFacade
from hookline.sdk.context_parts import Resources
from hookline.storage.blobs import Blobs


@pytest.mark.parametrize(
    ("facade", "interface"),
    [(HttpClientFacade, HttpClient), (BlobsFacade, Blobs), (ResourcesFacade, Resources)],
    ids=str,
)
async def test_a_facade_has_all_methods_of_its_interface_and_stays_open(
    facade: Callable[[Any], Any], interface: type
) -> None:
    made = facade(None)
    missing = [name for name in vars(interface) if not name.startswith("_") and not hasattr(made, name)]
    assert missing == []
    with pytest.raises(CloseNotAllowed, match="is shared by all plugins"):
        await made.close()
