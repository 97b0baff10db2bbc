"""The simulated phone in a real browser: a stranger writes, and the demo shop answers."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from runtime.host.postgres import Postgres
from runtime.host.valkey import Valkey
from tests.acceptance.test_pages import DESK, FAULTS, LIVE, PHONE, api, browser, signed_in
from tests.browser import Browser, Page
from tests.sites import Site, fresh_site

__all__ = ["api", "browser"]  # fixtures

SAID = "[...document.querySelectorAll('.said.out:not(.answering) p')].map((p) => p.textContent)"


@pytest.fixture(scope="module")
def shop(postgres_server: Postgres, valkey_server: Valkey, servers_folder: Path) -> Iterator[Site]:
    with fresh_site(postgres_server, valkey_server, servers_folder / "phone") as found:
        yield found


@pytest.fixture
async def demo(api: httpx2.AsyncClient) -> None:
    """The demo shop, with everything read."""
    assert (await api.post("/functions/demo_open", json={})).status_code == 200
    async with asyncio.timeout(30):
        while (await api.post("/functions/demo_open", json={})).json() != []:
            await asyncio.sleep(0.1)


async def says(page: Page, text: str, answers: int) -> str:
    """Write a message, press Enter, and wait for that many answers; returns the last one."""
    await page.value("document.getElementById('text').focus()")
    await page.write(text)
    await page.press("Enter")
    await page.until(f"{SAID}.length === {answers}")
    found: list[str] = await page.value(SAID)
    return found[-1]


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
async def test_a_stranger_talks_to_the_demo_shop(
    shop: Site, browser: Browser, demo: None, size: tuple[int, int]
) -> None:
    page = await browser.page(*size)
    await signed_in(shop, page)
    await page.goto(f"{shop.public}/phone")
    await page.until(LIVE)
    assert await page.value("document.activeElement.id") == "text"

    first = await says(page, "¿tenés zapatillas de correr 38?", 1)
    assert "$ 84.900" in first
    assert "talles 38" in first
    second = await says(page, "cuánto sale el envío a Rosario?", 2)
    assert "$ 5.800" in second
    assert await page.value("document.querySelector('.why-panel .trace li') !== null")
    assert await page.value(FAULTS) == []

    last = await says(page, "quiero hablar con una persona", 3)
    assert "persona" in last
    await page.until("document.querySelector('.thread .note') !== null")


async def test_only_simulated_shoppers_can_be_played(
    shop: Site, browser: Browser, demo: None
) -> None:
    page = await browser.page(*DESK)
    await signed_in(shop, page)
    await page.goto(f"{shop.public}/phone/demo?as=5493415550100")
    assert "5493415550100" not in await page.value("location.search")
