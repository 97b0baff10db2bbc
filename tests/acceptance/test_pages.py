"""The pages in a real browser: live, by keyboard, on a phone, in the dark, without scripts."""

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import pytest

from runtime.host.postgres import Postgres
from runtime.host.valkey import Valkey
from state.database import Database
from state.oddities import Odd, note_oddities
from tests.browser import Browser, Page, running_browser
from tests.sites import ADMIN_TOKEN, INTERNAL_TOKEN, Site, fresh_site

DESK, PHONE = (1440, 900), (360, 740)
LIVE = "document.getElementById('live-state')?.dataset.state === 'on'"
ROWS = "document.querySelectorAll('tbody tr').length"


@pytest.fixture(scope="module")
def shop(postgres_server: Postgres, valkey_server: Valkey, servers_folder: Path) -> Iterator[Site]:
    with fresh_site(postgres_server, valkey_server, servers_folder / "pages") as found:
        yield found


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    async with running_browser(tmp_path / "profile") as found:
        yield found


@pytest.fixture
async def api(shop: Site) -> AsyncIterator[httpx2.AsyncClient]:
    headers = {"Authorization": f"Bearer {INTERNAL_TOKEN}"}
    async with httpx2.AsyncClient(
        base_url=shop.private, headers=headers, timeout=30, trust_env=False
    ) as client:
        yield client


async def signed_in(shop: Site, page: Page, path: str = "/invocations") -> None:
    """Sign in as a person does: type, and press Enter."""
    await page.goto(f"{shop.public}/login")
    await page.until("document.activeElement.id === 'token'")
    await page.write(ADMIN_TOKEN)
    await page.press("Enter")
    await page.until("location.pathname === '/invocations'")
    if path != "/invocations":
        await page.goto(shop.public + path)
    await page.until(LIVE)


async def slow(api: httpx2.AsyncClient, seconds: float = 60) -> str:
    """Start an invocation that takes long."""
    answer = await api.post(
        "/functions/greet",
        json={"name": "Ana", "seconds": seconds},
        headers={"Prefer": "respond-async"},
    )
    found: str = answer.json()["id"]
    return found


async def test_an_invocation_appears_by_itself_and_becomes_done(
    shop: Site, browser: Browser, api: httpx2.AsyncClient
) -> None:
    page = await browser.page(*DESK)
    await signed_in(shop, page)
    before = await page.value(ROWS)
    answer = await api.post("/functions/hello", json={"name": "Ana"})
    name = answer.headers["nexus-invocation"]
    badge = f"document.querySelector('#row-{name} .badge')"
    await page.until(f"{badge}?.classList.contains('done')")

    assert await page.value(ROWS) == before + 1
    assert page.complaints == []


async def test_times_are_the_viewers_own(
    shop: Site, browser: Browser, api: httpx2.AsyncClient
) -> None:
    await api.post("/functions/hello", json={})
    page = await browser.page(*DESK)
    await page.call("Emulation.setTimezoneOverride", timezoneId="America/Argentina/Buenos_Aires")
    await signed_in(shop, page)
    shown = await page.value("document.querySelector('tbody time').textContent")
    expected = await page.value(
        "new Intl.DateTimeFormat('en', {timeStyle: 'medium'})"
        ".format(new Date(document.querySelector('tbody time').dateTime))"
    )

    assert shown == expected
    assert "UTC" not in shown


async def test_cancelling_asks_in_place_and_tells(
    shop: Site, browser: Browser, api: httpx2.AsyncClient
) -> None:
    name = await slow(api)
    page = await browser.page(*DESK)
    await signed_in(shop, page)
    await page.click(f"#cancel-{name}")
    await page.until("document.getElementById('ask').open")
    safe = await page.value("document.activeElement.value")
    await page.press("Escape")
    await page.until("!document.getElementById('ask').open")
    still = await page.value("location.search")
    await page.click(f"#cancel-{name}")
    await page.click("#ask-yes")
    await page.until("!!document.querySelector('.notice.good')")
    await page.until(f"document.querySelector('#row-{name} .badge').matches('.cancelled')")

    assert safe == "no"  # Enter does no harm
    assert still == ""
    assert await page.value("location.search") == ""  # told once, not on every reload
    assert page.complaints == []


async def test_the_stream_never_touches_what_has_the_focus(
    shop: Site, browser: Browser, api: httpx2.AsyncClient
) -> None:
    name = await slow(api)
    page = await browser.page(*DESK)
    await signed_in(shop, page)
    await page.until(f"!!document.getElementById('cancel-{name}')")
    await page.value(f"document.getElementById('cancel-{name}').focus()")
    before = await page.value(ROWS)
    for _ in range(3):
        await api.post("/functions/hello", json={})
    await page.until(f"{ROWS} === Math.min(30, {before} + 3)")

    assert await page.value("document.activeElement.id") == f"cancel-{name}"


async def test_the_page_survives_a_gateway_that_dies(
    shop: Site, browser: Browser, api: httpx2.AsyncClient
) -> None:
    page = await browser.page(*DESK)
    await signed_in(shop, page)
    shop.gateway.kill()
    await page.until(f"!({LIVE})")
    shop.gateway.restart()  # in this thread: the kernel ends a child with the thread that began it
    answer = await api.post("/functions/hello", json={})
    await page.until(f"!!document.getElementById('row-{answer.headers['nexus-invocation']}')", 30)
    await page.until(LIVE)


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_nothing_is_wider_than_the_screen_and_everything_is_readable(
    shop: Site, browser: Browser, api: httpx2.AsyncClient, size: tuple[int, int], dark: bool
) -> None:
    name = await slow(api, 0)
    database = await Database.open(shop.settings["POSTGRES_DSN"], application="test")
    async with database.engine() as connection:
        odd = [Odd("entry[0].changes[0].value.messages[1]", "a message from nobody")]
        await note_oddities(connection, 0, 1, odd)
    await database.aclose()
    page = await browser.page(*size, dark=dark)
    await page.goto(f"{shop.public}/login")
    problems = {"/login": await page.value(FAULTS)}
    await signed_in(shop, page)
    for path in (
        "/invocations",
        f"/invocations/{name}",
        "/invocations?state=dead",
        "/invocations/none",
        "/oddities",
        "/oddities?before=1",
    ):
        await page.goto(shop.public + path)
        problems[path] = await page.value(FAULTS)

    assert {path: found for path, found in problems.items() if found} == {}


async def test_everything_can_be_reached_by_keyboard(
    shop: Site, browser: Browser, api: httpx2.AsyncClient
) -> None:
    await slow(api)
    page = await browser.page(*DESK)
    await signed_in(shop, page)
    await page.value("document.activeElement.blur()")
    wanted = await page.value(
        "[...document.querySelectorAll('a, button, select, summary')]"
        ".filter(e => e.checkVisibility()).length"
    )
    reached = set()
    for _ in range(wanted + 5):
        await page.press("Tab")
        reached.add(await page.value(WHERE))

    assert len(reached - {None}) >= wanted


async def test_without_scripts_pages_are_complete(
    shop: Site, browser: Browser, api: httpx2.AsyncClient
) -> None:
    name = await slow(api)
    page = await browser.page(*PHONE)
    await page.call("Emulation.setScriptExecutionDisabled", value=True)
    await page.goto(f"{shop.public}/login")
    await page.write(ADMIN_TOKEN)
    await page.press("Enter")
    await page.until("location.pathname === '/invocations'")
    await page.until(f"!!document.getElementById('row-{name}')")
    moment = await page.value("document.querySelector('tbody time').textContent")
    await page.click(f"#cancel-{name}")
    await page.until("location.pathname.endsWith('/cancel')")
    await page.click(".buttons .strong")
    await page.until("location.pathname === '/invocations'")

    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", moment)
    assert await page.until("!!document.querySelector('.notice.good')")


WHERE = """
(() => {
  const e = document.activeElement;
  if (e === document.body) return null;
  const seen = getComputedStyle(e).outlineStyle !== 'none';
  return seen ? [...document.querySelectorAll('*')].indexOf(e) : null;
})()
"""

# What a person could not read or reach: sideways scrolling, faint text, nameless controls.
FAULTS = """
(() => {
  const faults = [];
  const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  if (wide > 0) faults.push(`scrolls sideways by ${wide}`);
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => {
      v /= 255;
      return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const colour = rgba(getComputedStyle(e).backgroundColor);
      if (colour[3] > 250) return colour;
    }
    return [255, 255, 255, 255];
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !e.checkVisibility()) continue;
    if (e.closest('.unseen, .skip, script, thead')) continue;
    const a = light(rgba(getComputedStyle(e).color)), b = light(behind(e));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) faults.push(`${ratio.toFixed(2)}: ${walker.currentNode.data.trim()}`);
  }
  for (const e of document.querySelectorAll('a, button, select, input:not([type=hidden])')) {
    if (!e.checkVisibility()) continue;
    const name = e.textContent.trim() || e.getAttribute('aria-label') || e.labels?.[0];
    if (!name) faults.push(`no name: ${e.outerHTML.slice(0, 80)}`);
    const small = innerWidth < 600 && e.matches('button, select, input')
      && e.getBoundingClientRect().height < 32;
    if (small) faults.push(`too small to touch: ${e.outerHTML.slice(0, 80)}`);
  }
  if (document.querySelectorAll('h1').length !== 1) faults.push('not one h1');
  return faults;
})()
"""
