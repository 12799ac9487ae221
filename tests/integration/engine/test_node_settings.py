"""A node starts only if its settings fit those of the nodes that serve."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.integration.engine_harness import KEYS, Harness
from tests.own_nats import OwnNats, url_of

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
def options(tmp_path: Path, tables: str) -> Callable[..., EngineOptions]:
    Harness(tmp_path)

    def made(name: str, **settings: Any) -> EngineOptions:
        return EngineOptions(
            **{"db": tables, "blobs": f"file://{tmp_path}/blobs", "flows": None, "secret_keys": KEYS}
            | {"node_name": name, "watch": False}
            | settings
        )

    return made


@pytest.mark.cluster_rule("C12")
async def test_a_folder_of_flows_serves_the_nodes_of_one_host(
    tmp_path: Path, options: Callable[..., EngineOptions]
) -> None:
    registry = load_plugins()
    (tmp_path / "flows").mkdir(exist_ok=True)
    with_folder = options("folder", flows=tmp_path / "flows")
    async with Engine(registry, options("first")):
        async with Engine(registry, with_folder):
            pass
        with pytest.raises(ConfigError, match=r"nodes of other hosts serve .*\(first\).*--flows database"):
            await _Elsewhere(registry, with_folder).start()
    async with _Elsewhere(registry, with_folder):
        pass


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[OwnNats]:
    with OwnNats(tmp_path / "nats") as started:
        yield started


@pytest.mark.cluster_rule("C19")
async def test_all_nodes_have_the_same_queue(nats: OwnNats, options: Callable[..., EngineOptions]) -> None:
    registry = load_plugins()
    queue, second = (url_of([nats], f"?replicas=1&max_bytes=20MB&stream={name}") for name in ("first", "second"))
    async with Engine(registry, options("none")):
        with pytest.raises(ConfigError, match=r"the node none serves .* with no queue, and this one with .*first"):
            await Engine(registry, options("one", queue=queue)).start()
    async with Engine(registry, options("one", queue=queue, role="worker")):
        async with Engine(registry, options("two", queue=queue, role="webhook")):
            pass
        with pytest.raises(ConfigError, match=r"the node one serves .*first.* and this one with no queue"):
            await Engine(registry, options("none")).start()
        with pytest.raises(ConfigError, match=r"the node one serves .*first.* and this one with .*second"):
            await Engine(registry, options("other", queue=second)).start()
    # Nodes that have stopped don't count.
    async with Engine(registry, options("other", queue=second)):
        pass


@pytest.mark.cluster_rule("C14")
async def test_a_node_of_another_host_starts_if_it_has_the_same_blob_store(
    tmp_path: Path, options: Callable[..., EngineOptions]
) -> None:
    registry = load_plugins()
    shared, own, copy = (options(name, blobs=f"file://{tmp_path}/{name}") for name in ("shared", "own", "copy"))
    async with Engine(registry, shared) as engine:
        mark = await engine.membership.blob_mark()
        assert mark is not None
        async with _Elsewhere(registry, shared) as other:
            assert other.membership.hosts == 2
        with pytest.raises(ConfigError, match=r"another blob store .* a folder that all hosts share"):
            await _Elsewhere(registry, own).start()
        # A copy has all files of before, and none of those that come later.
        shutil.copytree(tmp_path / "shared", tmp_path / "copy")
        with pytest.raises(ConfigError, match=r"can't read what this node stores; .*s3://"):
            await _Elsewhere(registry, copy).start()
        # The probes are removed, and the mark stays.
        stored = [blob async for blob in engine.blobs.older_than(engine.clock.now().replace(year=2999))]
        assert stored == [mark]
        assert set(await engine.store.referenced([mark])) == {mark}


@pytest.mark.cluster_rule("C14")
async def test_a_node_without_others_may_have_another_blob_store(
    tmp_path: Path, options: Callable[..., EngineOptions]
) -> None:
    registry = load_plugins()
    async with Engine(registry, options("before", blobs=f"file://{tmp_path}/before")) as engine:
        before = await engine.membership.blob_mark()
    async with Engine(registry, options("after", blobs=f"file://{tmp_path}/after")) as engine:
        after = await engine.membership.blob_mark()
        assert after not in (None, before)
        assert set(await engine.store.referenced([str(before), str(after)])) == {after}
