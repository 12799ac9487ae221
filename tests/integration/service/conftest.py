"""An engine with Hookline's own plugins over a folder of flows, and a client of its admin API."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from quart.typing import TestClientProtocol as Client
from tests.integration.admin_api import TOKEN

from hookline.discovery.plugin_loader import load_plugins
from hookline.engine import Engine
from hookline.engine_options import EngineOptions
from hookline.service.admin import blueprints
from hookline.service.app import create_pages

REGISTRY = load_plugins()


@pytest.fixture
def flows(tmp_path: Path) -> Path:
    """The folder of the flows. A module whose tests need some writes them in a fixture of this name."""
    folder = tmp_path / "flows"
    folder.mkdir()
    return folder


@pytest.fixture
def environment() -> Mapping[str, str]:
    """The variables that override vars. A module whose tests need some has a fixture of this name."""
    return {}


@pytest.fixture
async def engine(tmp_path: Path, flows: Path, environment: Mapping[str, str]) -> AsyncIterator[Engine]:
    options = EngineOptions(
        db=f"sqlite:///{tmp_path}/hookline.db",
        blobs=f"file://{tmp_path}/blobs",
        flows=flows,
        secret_keys=(b"k" * 32,),
        watch=False,
        public_url="https://hooks.example",
        environment=environment,
    )
    async with Engine(REGISTRY, options) as engine:
        yield engine


@pytest.fixture
def client(engine: Engine) -> Client:
    return create_pages(blueprints(engine, TOKEN)).test_client()


@pytest.fixture
def quick_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the examination of the plugins, which takes a second or two for each request."""
    monkeypatch.setattr("hookline.service.admin.system.plugins.examine", list)
