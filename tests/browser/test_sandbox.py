"""HTML that comes from senders or flows, in the browser of somebody who is signed in to the console."""

from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.acceptance.server_process import ServerProcess
from tests.browser.console import Console

pytestmark = pytest.mark.asyncio(loop_scope="session")

#: It tells what it gets by its title.
ATTACK = """<!doctype html><title>it runs</title><script>
fetch("/api/v1/me", {credentials: "include"}).then(
  (answer) => { document.title = `it gets ${answer.status}` }, () => { document.title = "it gets nothing" })
</script>"""
HTML = {"headers": {"Content-Type": "text/html"}, "body": ATTACK}
#: A browser would save a file otherwise, instead of showing it.
COPY = {"headers": {"Content-Disposition": "inline"}, "attachment": "$.attachments[0]"}
FLOWS = {"leaflet": HTML, "copier": COPY}


def serve(shop: ServerProcess) -> None:
    for flow_id, reply in FLOWS.items():
        document = {
            "id": flow_id,
            "trigger": {"use": "webhook", "with": {"verify": "none", "respond": "reply"}},
            "steps": [{"use": "reply", "with": reply}],
        }
        shop.api("PUT", f"/api/v1/flows/{flow_id}", document)


@pytest.mark.console_rule("K6")
@pytest.mark.parametrize("flow_id", FLOWS)
async def test_html_in_a_reply_and_in_an_attachment_gets_nothing_of_the_api(
    console: Console, shop: ServerProcess, flow_id: str, tmp_path: Path
) -> None:
    serve(shop)
    page = await console.page.context.new_page()
    # The cookie does work on pages of the server itself.
    await page.goto("/settings")
    assert await page.evaluate("fetch('/api/v1/me').then((answer) => answer.status)") == 200
    attached = tmp_path / "attack.html"
    attached.write_text(ATTACK)
    await page.goto("about:blank")
    await page.set_content(
        f'<form method="post" enctype="multipart/form-data" action="{shop.url}/hook/{flow_id}">'
        '<input type="file" name="file"><button>Send</button></form>'
    )
    await page.locator("input").set_input_files(attached)
    await page.get_by_role("button", name="Send").click()
    await expect(page).to_have_title("it gets nothing")
