"""The tasks of administrators: credentials, tokens, plugins, and what changed."""

import re
from base64 import b64encode

import pytest
from playwright.async_api import expect

from tests.acceptance.server_process import ServerProcess
from tests.browser.console import Console
from tests.browser.flow_editor import PARCELS, one_more_flow

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_credential_is_created_by_a_form_of_its_type_verified_and_deleted(
    console: Console, shop: ServerProcess
) -> None:
    page = await console.open("/credentials", "Credentials")
    await page.get_by_role("button", name="Create a credential").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("textbox", name="Name", exact=True).fill("broker")
    await dialog.get_by_role("combobox", name="Type", exact=True).select_option("amqp")
    await dialog.get_by_role("textbox", name="Host (optional)", exact=True).fill("127.0.0.1")
    await dialog.get_by_role("spinbutton", name="Port (optional)").fill("1")
    await dialog.get_by_role("textbox", name="Password (optional)").fill("s3cret-of-the-broker")
    await dialog.get_by_role("button", name="Save").click()
    await page.get_by_role("heading", name="broker").wait_for()
    await expect(page.get_by_text("No flow that is served names it.")).to_be_visible()
    await page.get_by_role("button", name="Verify").click()
    await page.get_by_role("status").get_by_text("Not valid").wait_for()
    assert "s3cret-of-the-broker" not in await page.content()

    await page.get_by_role("button", name="Delete").click()
    await dialog.get_by_role("button", name="Delete").click()
    await page.get_by_role("heading", name="Credentials").wait_for()
    await expect(page.get_by_role("link", name="broker")).to_have_count(0)


async def test_a_change_of_a_credential_changes_only_what_is_entered(console: Console, shop: ServerProcess) -> None:
    values = {"username": "courier", "password": "0ld-secret"}
    limits = {"flows": ["parcels", "orders-*"], "hosts": ["api.example.com", "*.bank.example"]}
    shop.api("PUT", "/api/v1/credentials/courier", {"type": "basic", "values": values, **limits})
    verify = {"scheme": "basic", "credential": "courier"}
    async with one_more_flow(console, shop, PARCELS | {"trigger": {"use": "webhook", "with": {"verify": verify}}}):
        page = await console.open("/credentials/courier", "courier")
        await expect(page.get_by_text("Warning", exact=True)).to_have_count(0)
        await expect(page.get_by_label("About")).to_contain_text("parcels, orders-*")
        await page.get_by_role("button", name="Change").click()
        dialog = page.get_by_role("dialog")
        await expect(dialog.get_by_label("Username")).to_have_value("")
        # A secret that is pasted at once must not get into a field that shows it.
        await expect(dialog.get_by_label("For the flows")).not_to_be_focused()
        await dialog.get_by_label("Password").fill("n3w-secret")
        await dialog.get_by_role("button", name="Save").click()
        await expect(dialog).to_be_hidden()
        assert _limits(shop, "courier") == limits
        old, new = (b64encode(f"courier:{password}".encode()).decode() for password in ("0ld-secret", "n3w-secret"))
        assert shop.post("parcels", {}, {"Authorization": f"Basic {new}"})[0] == 202
        assert shop.post("parcels", {}, {"Authorization": f"Basic {old}"})[0] == 401

        await page.get_by_role("button", name="Change").click()
        await dialog.get_by_label("Hosts").fill("api.example.com")
        await dialog.get_by_role("button", name="Save").click()
        await expect(page.get_by_label("About")).not_to_contain_text("*.bank.example")
        assert _limits(shop, "courier") == limits | {"hosts": ["api.example.com"]}
        assert shop.post("parcels", {}, {"Authorization": f"Basic {new}"})[0] == 202
    shop.api("DELETE", "/api/v1/credentials/courier")


def _limits(shop: ServerProcess, name: str) -> dict[str, list[str]]:
    found = shop.api("GET", f"/api/v1/credentials/{name}")
    return {limit: found[limit] for limit in ("flows", "hosts")}


async def test_a_credential_that_may_be_sent_to_any_host_needs_attention_until_it_names_hosts(
    console: Console, shop: ServerProcess
) -> None:
    shop.api("PUT", "/api/v1/credentials/loose", {"type": "bearer", "values": {"token": "t0ken-secret"}})
    page = await console.open("/", "Overview")
    await page.get_by_role("link", name="'loose' may be sent to any host").click()
    await page.get_by_role("heading", level=1, name="loose").wait_for()
    await expect(page.get_by_label("About")).to_contain_text("Any host that a flow names")
    await expect(page.get_by_text("Warning", exact=True)).to_be_visible()
    await page.get_by_role("button", name="Change").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Hosts").fill("api.example.com")
    await dialog.get_by_role("button", name="Save").click()
    await expect(page.get_by_label("About")).to_contain_text("api.example.com")
    await expect(page.get_by_text("Warning", exact=True)).to_have_count(0)
    shop.api("DELETE", "/api/v1/credentials/loose")


async def test_an_optional_value_of_a_credential_can_be_removed(console: Console, shop: ServerProcess) -> None:
    values = {"host": "127.0.0.1", "vhost": "shop"}
    shop.api("PUT", "/api/v1/credentials/queue", {"type": "amqp", "values": values})
    page = await console.open("/credentials/queue", "queue")
    await page.get_by_role("button", name="Change").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Remove Vhost").check()
    await expect(dialog.get_by_label("Vhost (optional)")).to_be_disabled()
    async with page.expect_request("**/api/v1/credentials/queue") as sent:
        await dialog.get_by_role("button", name="Save").click()
    request = await sent.value
    assert (request.method, request.post_data_json) == ("PATCH", {"values": {"vhost": None}})
    await expect(dialog).to_be_hidden()
    shop.api("DELETE", "/api/v1/credentials/queue")


async def test_values_that_do_not_fit_the_type_are_reported_in_the_form(console: Console) -> None:
    page = await console.open("/credentials", "Credentials")
    await page.get_by_role("button", name="Create a credential").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("textbox", name="Name", exact=True).fill("Not A Name!")
    await dialog.get_by_role("combobox", name="Type", exact=True).select_option("bearer")
    await dialog.get_by_role("textbox", name="Token", exact=True).fill("t0ken")
    await dialog.get_by_role("button", name="Save").click()
    await dialog.get_by_role("alert").wait_for()
    console.expect_problems()  # The browser reports each response that is an error.


async def test_a_token_is_shown_once_and_can_be_revoked(console: Console, shop: ServerProcess) -> None:
    page = await console.open("/tokens", "Tokens")
    await page.get_by_role("button", name="Create a token").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("textbox", name="Name").fill("deploy")
    await dialog.get_by_role("combobox", name="Scope").select_option("author")
    await dialog.get_by_role("button", name="Create a token").click()
    await dialog.get_by_text("It is shown only this once.").wait_for()
    token = await dialog.locator("code").inner_text()
    assert shop.request("GET", "/api/v1/me", headers={"Authorization": f"Bearer {token}"})[0] == 200
    await dialog.get_by_role("button", name="Cancel").click()
    row = page.get_by_role("row").filter(has_text="deploy")
    await expect(row).to_contain_text("Valid")
    await row.get_by_role("button", name="Revoke").click()
    await dialog.get_by_role("button", name="Revoke").click()
    await expect(row).to_contain_text("Revoked")
    assert shop.request("GET", "/api/v1/me", headers={"Authorization": f"Bearer {token}"})[0] == 401

    await console.open("/audit", "Audit")
    await page.get_by_label("All operations").select_option("token.revoke")
    # Other tests revoke tokens of this server, too.
    revoked = shop.get("/api/v1/audit?operation=token.revoke")[1]["items"]
    await expect(page.get_by_role("row")).to_have_count(1 + len(revoked))
    assert "operation=token.revoke" in page.url


async def test_the_doctor_examines_the_plugins(console: Console) -> None:
    page = await console.open("/plugins", "Plugins")
    await expect(page.get_by_role("row").filter(has_text="console")).to_contain_text("Works")
    await page.get_by_role("button", name="Run the doctor").click()
    await expect(page.get_by_role("region", name="Findings")).to_contain_text(re.compile(r"\d+ plugins examined"))


async def test_components_are_found_by_words_and_shown_with_an_example(console: Console) -> None:
    page = await console.open("/components", "Components")
    await page.get_by_role("searchbox").fill("http request")
    await page.get_by_role("link", name="http.request").click()
    await page.get_by_role("heading", name="http.request").wait_for()
    await expect(page.get_by_role("region", name="Example")).to_contain_text('"use": "http.request"')
    await page.locator("summary").filter(has_text="JSON Schema").click()
    await expect(page.locator("details")).to_contain_text("additionalProperties")


async def test_settings_are_shown_with_their_sources_and_without_secrets(console: Console) -> None:
    page = await console.open("/settings", "Settings")
    await expect(page.get_by_role("row").filter(has_text="admin_token")).to_contain_text("environment")
    await expect(page.get_by_role("row").filter(has_text="The port to listen on")).to_contain_text("command line")
    assert "test-admin-token" not in await page.content()
