"""OAuth 2 as a connector's author sees it: what is declared, what contexts give, and how tests run it."""

from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field, SecretStr

from hookline.api import AuthExpired, Connector, Context, OAuth2, StepError, VerifyContext
from hookline.credentials.token_set import TokenSet
from hookline.discovery.plugin_loader import load_plugins
from hookline.kernel.errors import PluginError
from hookline.testing.clock import START, ManualClock
from hookline.testing.connector_harness import Harness, plugin_of
from hookline.testing.contracts.connector import ConnectorContract
from hookline.testing.fake_http import FakeHttp

URL = "https://acme.example"


class AcmeClient(BaseModel):
    """A client of Acme."""

    client_id: str = Field(description="Its id.")
    client_secret: SecretStr = Field(description="Its secret.")


CREDENTIAL = {"client_id": "hookline", "client_secret": "hunter2-hunter2"}


def acme() -> Connector:
    made = Connector(
        "acme",
        title="Acme",
        credential=AcmeClient,
        oauth2=OAuth2(token_url=f"{URL}/token", authorize_url=f"{URL}/authorize"),
    )

    @made.action(idempotent=True)
    async def get_order(
        ctx: Context[AcmeClient], number: Annotated[str, Field(description="Which.")]
    ) -> dict[str, Any]:
        """Get an order."""
        return await ctx.authorized(lambda token: order(ctx, number, token))

    async def order(ctx: Context[AcmeClient], number: str, token: str) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {token}"}
        found = await ctx.http.get_json(f"{URL}/orders/{number}", headers=headers)
        if not isinstance(found, dict):
            raise StepError("no order came back", code="acme.answer")
        return found

    @made.verify
    async def who(ctx: VerifyContext[AcmeClient]) -> None:
        """Ask for a token."""
        await ctx.access_token()

    return made


class TestAcme(ConnectorContract):
    connector = acme()
    credential = CREDENTIAL
    calls = {"acme.get_order": {"number": "7"}}  # noqa: RUF012 - a class's constant
    level = "silver"

    def answers(self, http: FakeHttp) -> None:
        http.answers("GET", f"{URL}/orders/7", {"number": 7})


async def test_the_contract_finds_a_token_that_is_given_away() -> None:
    oauth2 = OAuth2(token_url=f"{URL}/token", grants=("client_credentials",))
    leaks = Connector("leaks", credential=AcmeClient, oauth2=oauth2)

    @leaks.action
    async def token(ctx: Context[AcmeClient]) -> str:
        """Give the token away."""
        return await ctx.access_token()

    class Leaks(ConnectorContract):
        connector = leaks
        credential = CREDENTIAL
        calls = {"leaks.token": {}}  # noqa: RUF012 - a class's constant

    harness = Harness(load_plugins(extra_plugins=[plugin_of(leaks)]))
    with pytest.raises(AssertionError, match="a secret is in what it gives"):
        await Leaks().test_it_gives_what_it_should_and_no_secret(harness)
    await harness.close()


@pytest.fixture
async def harness() -> Any:
    made = Harness(load_plugins(extra_plugins=[plugin_of(acme())]))
    yield made
    await made.close()


async def test_an_action_gets_the_token_of_a_test(harness: Harness) -> None:
    harness.http.answers("GET", f"{URL}/orders/7", {"number": 7})
    ran = await harness.run_action("acme.get_order", credential=CREDENTIAL, number="7", access_token="mine")
    assert ran.body == {"number": 7}
    assert harness.tokens is not None
    assert harness.tokens.given == ["mine"]


async def test_a_rejected_token_is_followed_by_another_one_once(harness: Harness) -> None:
    harness.http.answers("GET", f"{URL}/orders/7", {}, status=401)
    with pytest.raises(AuthExpired):
        await harness.run_action("acme.get_order", credential=CREDENTIAL, number="7")
    assert harness.tokens is not None
    assert len(set(harness.tokens.given)) == 2
    assert len(harness.http.requests) == 2


async def test_a_test_may_have_nobody_authorize_it(harness: Harness) -> None:
    with pytest.raises(AuthExpired) as caught:
        await harness.run_action("acme.get_order", credential=CREDENTIAL, number="7", access_token=None)
    assert caught.value.error_code == "oauth2.expired"


async def test_without_oauth2_there_is_no_token() -> None:
    plain = Connector("plain", credential=AcmeClient)

    @plain.action
    async def token(ctx: Context[AcmeClient]) -> str:
        """Ask for a token."""
        return await ctx.access_token()

    harness = Harness(load_plugins(extra_plugins=[plugin_of(plain)]))
    with pytest.raises(StepError) as caught:
        await harness.run_action("plain.token", credential=CREDENTIAL)
    await harness.close()
    assert caught.value.error_code == "oauth2.config"


@pytest.mark.parametrize(
    ("oauth2", "said"),
    [
        ({"grants": ()}, "grants=()"),
        ({"grants": ("password",)}, "'password'"),
        ({"grants": "authorization_code"}, "a tuple of one or both"),
        ({"authorize_url": None}, "authorize_url is needed if"),
        ({"grants": ("client_credentials",)}, "authorize_url is needed if"),
        ({"token_url": "acme.example/token"}, "token_url='acme.example/token'"),
        ({"authorize_url": "https://acme.example/#x"}, "has no fragment"),
        ({"scopes": "orders.read"}, "scopes='orders.read'"),
        ({"client_auth": "jwt"}, "one of basic and body"),
        ({"client_id": "id"}, "it has client_id, client_secret"),
        ({"token_params": {"grant_type": "x"}}, "'grant_type' is set by the engine"),
        ({"authorize_params": {"state": "x"}}, "'state' is set by the engine"),
        (
            {"grants": ("authorization_code", "client_credentials"), "client_secret": None},
            "needs a client secret",
        ),
    ],
)
def test_a_declaration_that_can_not_work_is_rejected_where_it_stands(oauth2: dict[str, Any], said: str) -> None:
    given = {"token_url": f"{URL}/token", "authorize_url": f"{URL}/authorize", **oauth2}
    with pytest.raises(PluginError) as caught:
        Connector("acme", credential=AcmeClient, oauth2=OAuth2(**given))
    assert "connector 'acme': oauth2: " in caught.value.message
    assert said in caught.value.message


def test_tokens_need_a_credential_to_be_of() -> None:
    with pytest.raises(PluginError, match="has no credential"):
        Connector("acme", oauth2=OAuth2(token_url=f"{URL}/token", grants=("client_credentials",)))


@pytest.mark.parametrize(("life", "usable_for"), [(3600, 3540), (300, 240), (100, 80), (10, 8)])
def test_a_token_is_used_until_shortly_before_its_end(life: int, usable_for: int) -> None:
    clock = ManualClock()
    clock.advance(life)
    tokens = TokenSet("secret-secret", "authorization_code", START, clock.now(), "refresh-refresh")
    clock = ManualClock()
    clock.advance(usable_for - 0.001)
    assert tokens.holds_for_a_while(clock.now())
    clock.advance(0.002)
    assert not tokens.holds_for_a_while(clock.now())
    assert tokens.holds(clock.now())
    assert "secret" not in repr(tokens)
    assert "refresh" not in repr(tokens)
