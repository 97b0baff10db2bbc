"""Somebody in front of the pages."""

import re

import httpx2

from tests.gateway.conftest import ADMIN_TOKEN, ORIGIN, Client

FORM = {"Origin": ORIGIN, "Accept": "text/html"}


async def sign_in(client: Client, token: str = ADMIN_TOKEN) -> httpx2.Response:
    """Send the form of the login page."""
    return await client.post("/login", data={"token": token}, headers=FORM)


async def csrf_of(client: Client, page: str = "/invocations") -> str:
    """What a page's forms send along."""
    answer = await client.get(page, headers={"Accept": "text/html"})
    found = re.search(r'name="csrf" value="([^"]+)"', answer.text)
    assert found, answer.text
    return found[1]


async def send(client: Client, path: str, **fields: str) -> httpx2.Response:
    """Send a form of a page, as a browser would."""
    headers = {**FORM, "Referer": f"{ORIGIN}/invocations"}
    data = {"csrf": await csrf_of(client), **fields}
    return await client.post(path, data=data, headers=headers)
