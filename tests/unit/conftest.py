"""A registry with generic components, mappers, and a connector with every kind of trouble."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr

import hookline_generic
import hookline_mapping
from hookline.api import Connector, Context, FromVars, NoSettings, PollContext, PollResult, Scheme, hookimpl
from hookline.discovery.plugin_loader import load_plugins
from hookline.discovery.registry import PluginStatus, Registry
from hookline.flows.check.check_flow import check_flow
from hookline.kernel.errors import Problem
from hookline.kernel.json import encode
from hookline.secrets.credential_reach import KnownCredential


class AcmeKey(BaseModel):
    token: SecretStr


acme = Connector("acme", credential=AcmeKey, accepts=("signed",))
lake = Connector("lake")
gone = Connector("gone", unavailable="pip install 'hookline[gone]'")


@acme.action
async def create_order(
    ctx: Context[AcmeKey],
    sku: Annotated[str, Field(description="What is ordered.")],
    quantity: int = Field(1, ge=1),
    kind: Literal["rush", "normal"] = "normal",
    tags: list[str] | None = None,
    gift: bool = False,
) -> dict[str, Any]:
    """Create an order."""
    raise NotImplementedError


@acme.action
async def ping(ctx: Context[AcmeKey | None]) -> str:
    """Ask whether it is there."""
    raise NotImplementedError


@acme.poll(every="1m")
async def new_orders(ctx: PollContext[AcmeKey], cursor: Any, status: str = "open") -> PollResult:
    """Starts an execution for each new order."""
    raise NotImplementedError


@lake.action
async def read(url: Annotated[str, FromVars()], where: str = "") -> list[dict[str, Any]]:
    """Read rows."""
    raise NotImplementedError


@gone.action
async def away() -> None:
    """Nothing that works here."""
    raise NotImplementedError


@gone.poll(every="1m")
async def news(cursor: Any) -> PollResult:
    """Nothing that works here."""
    raise NotImplementedError


class SignedKey(BaseModel):
    secret: SecretStr


class SignedSettings(BaseModel):
    model_config = ConfigDict(extra="forbid")

    header: str = "x-signature"
    tolerance: int = Field(300, ge=0)


class Signed(Scheme[SignedKey, SignedSettings]):
    name = "signed"
    title = "Signed"
    credential = SignedKey
    settings = SignedSettings

    def open(self, request: Any, credential: SignedKey, settings: SignedSettings) -> Any:
        raise NotImplementedError


class Open(Scheme[Any, NoSettings]):
    name = "open"
    title = "Open"

    def open(self, request: Any, credential: Any, settings: NoSettings) -> Any:
        raise NotImplementedError


class Mislabelled(Open):
    name = "mislabelled"
    title = "Mislabelled"
    json_as = "text/plain"


class SecretSettings(BaseModel):
    model_config = ConfigDict(extra="forbid")

    header: str = "X-Key"


class Secretive(Scheme[Any, SecretSettings]):
    name = "secretive"
    title = "Secretive"
    settings = SecretSettings

    def secret_headers(self, settings: SecretSettings) -> frozenset[str]:
        return frozenset({settings.header})

    def secret_query(self, settings: SecretSettings) -> frozenset[str]:
        return frozenset({"key"})

    def secret_fields(self, settings: SecretSettings) -> tuple[str, ...]:
        return ("/auth/token", "/value/*/state", "/a~1b")

    def open(self, request: Any, credential: Any, settings: SecretSettings) -> Any:
        raise NotImplementedError


class Plugin:
    @hookimpl
    def register_connectors(self) -> list[Connector]:
        return [acme, lake, gone]

    @hookimpl
    def register_schemes(self) -> list[Scheme[Any, Any]]:
        return [Signed(), Open(), Mislabelled(), Secretive()]


@pytest.fixture(scope="session")
def registry() -> Registry:
    made = load_plugins([], extra_plugins=[hookline_generic, hookline_mapping, Plugin()])
    assert not made.failed
    return made


@pytest.fixture
def broken_registry() -> Registry:
    """As if the plugin `acme` had failed to load."""
    status = PluginStatus("acme", "hookline_acme", "acme-plugin", "1.2", "ImportError: no licence")
    rest = load_plugins([], extra_plugins=[hookline_generic, hookline_mapping])
    return Registry(
        actions=rest.actions,
        mappers=rest.mappers,
        triggers=rest.triggers,
        schemes=rest.schemes,
        plugins=(*rest.plugins, status),
    )


def flow(*steps: Any, **more: Any) -> dict[str, Any]:
    """A flow that is right but for what it is given."""
    return {
        "id": "orders",
        "trigger": {"use": "webhook", "with": {"verify": {"scheme": "signed", "credential": "hook"}}},
        "steps": list(steps),
        **more,
    }


@pytest.fixture(name="flow")
def flow_fixture() -> Callable[..., dict[str, Any]]:
    return flow


@pytest.fixture
def check(registry: Registry) -> Callable[..., list[Problem]]:
    """Lints a flow, made by `flow` of the given steps, or given as a whole."""

    def of(*steps: Any, credentials: dict[str, str] | None = None, **more: Any) -> list[Problem]:
        known = None if credentials is None else {name: KnownCredential(type) for name, type in credentials.items()}
        return check_flow(encode(flow(*steps, **more)), registry, known, file="orders.json").problems

    return of
