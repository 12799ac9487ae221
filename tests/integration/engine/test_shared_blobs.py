"""A node starts only if the nodes of other hosts have the same blob store."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.integration.engine_harness import KEYS, Harness

from hookline.discovery.plugin_loader import load_plugins
from hookline.engine import Engine
from hookline.engine_options import EngineOptions
from hookline.kernel.errors import ConfigError
from hookline.storage.cluster import NodeDescription, NodeRole

pytestmark = pytest.mark.postgres


class _Elsewhere(Engine):
    """An engine of another host."""

    def _node(self, role: NodeRole) -> NodeDescription:
        return replace(super()._node(role), host="elsewhere")


@pytest.fixture
def options(tmp_path: Path, tables: str) -> Callable[[str], EngineOptions]:
    """The options of a node, with a folder of blobs."""
    Harness(tmp_path)

    def made(blobs: str) -> EngineOptions:
        return EngineOptions(
            db=tables, blobs=f"file://{tmp_path}/{blobs}", flows=None, secret_keys=KEYS, node_name=blobs, watch=False
        )

    return made


@pytest.mark.cluster_rule("C14")
async def test_a_node_of_another_host_starts_if_it_has_the_same_blob_store(
    tmp_path: Path, options: Callable[[str], EngineOptions]
) -> None:
    registry = load_plugins()
    async with Engine(registry, options("shared")) as engine:
        mark = await engine.membership.blob_mark()
        assert mark is not None
        async with _Elsewhere(registry, options("shared")) as other:
            assert other.membership.hosts == 2
        with pytest.raises(ConfigError, match=r"another blob store .* a folder that all hosts share"):
            await _Elsewhere(registry, options("own")).start()
        # A copy has all files of before, and none of those that come later.
        shutil.copytree(tmp_path / "shared", tmp_path / "copy")
        with pytest.raises(ConfigError, match=r"can't read what this node stores; .*s3://"):
            await _Elsewhere(registry, options("copy")).start()
        # The probes are removed, and the mark stays.
        stored = [blob async for blob in engine.blobs.older_than(engine.clock.now().replace(year=2999))]
        assert stored == [mark]
        assert set(await engine.store.referenced([mark])) == {mark}


@pytest.mark.cluster_rule("C14")
async def test_a_node_without_others_may_have_another_blob_store(
    options: Callable[[str], EngineOptions], caplog: pytest.LogCaptureFixture
) -> None:
    registry = load_plugins()
    async with Engine(registry, options("before")) as engine:
        before = await engine.membership.blob_mark()
    async with Engine(registry, options("after")) as engine:
        after = await engine.membership.blob_mark()
        assert after not in (None, before)
        assert set(await engine.store.referenced([str(before), str(after)])) == {after}
