"""A real Chromium, driven by the DevTools protocol over a pipe. Only what our tests need."""

import asyncio
import base64
import fcntl
import itertools
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
WAIT_SECONDS = 15.0
KEYS = {"Tab": 9, "Enter": 13, "Escape": 27}


def chromium() -> str:
    """The browser's path; without one the test is skipped, loudly, and fails in CI."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        reason = "NO CHROMIUM: pages are not tested in a browser; install it (apt: chromium)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


class Browser:
    """One running browser."""

    def __init__(self, writer: asyncio.StreamWriter, reader: asyncio.StreamReader) -> None:
        self._writer = writer
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._pages: dict[str, Page] = {}
        self._task = asyncio.create_task(self._read(reader))

    async def call(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        message = {"id": number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        self._writer.write(json.dumps(message).encode() + b"\0")
        await self._writer.drain()
        async with asyncio.timeout(WAIT_SECONDS):
            return await answer

    async def page(self, width: int, height: int, *, dark: bool = False) -> "Page":
        """Open a page of its own, without cookies of others."""
        context = await self.call("Target.createBrowserContext")
        target = await self.call(
            "Target.createTarget", url="about:blank", browserContextId=context["browserContextId"]
        )
        attached = await self.call(
            "Target.attachToTarget", targetId=target["targetId"], flatten=True
        )
        page = self._pages[attached["sessionId"]] = Page(self, attached["sessionId"])
        for domain in ("Page", "Runtime", "Log", "Network"):
            await page.call(f"{domain}.enable")
        await page.resize(width, height)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await page.call("Emulation.setEmulatedMedia", features=[scheme])
        return page

    async def aclose(self) -> None:
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(5):
                await self.call("Browser.close")
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        self._writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while True:
            try:
                message = json.loads((await reader.readuntil(b"\0"))[:-1])
            except asyncio.IncompleteReadError:
                return
            if (answer := self._answers.pop(message.get("id", 0), None)) is not None:
                if "error" in message:
                    answer.set_exception(RuntimeError(message["error"]["message"]))
                else:
                    answer.set_result(message["result"])
            elif (page := self._pages.get(message.get("sessionId", ""))) is not None:
                page.heard(message["method"], message["params"])


class Page:
    """One tab."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session
        self.complaints: list[str] = []
        """Errors of scripts, and whatever the content security policy stopped."""

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        return await self._browser.call(method, self._session, **params)

    def heard(self, event: str, params: dict[str, Any]) -> None:
        if event == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            said = details.get("exception", {}).get("description", details["text"])
            self.complaints.append(said)
        elif event == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.complaints.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")

    async def resize(self, width: int, height: int) -> None:
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )

    async def goto(self, url: str) -> None:
        await self.call("Page.navigate", url=url)
        await self.until(f"location.href !== 'about:blank' && {LOADED}")

    async def value(self, script: str) -> Any:
        """What an expression is; promises are awaited."""
        answer = await self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["exception"].get("description"))
        return answer["result"].get("value")

    async def until(self, script: str, seconds: float = WAIT_SECONDS) -> Any:
        """Wait until an expression is true, also across a change of page."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while True:
            with suppress(RuntimeError):
                if found := await self.value(script):
                    return found
            if loop.time() > deadline:
                text = await self.value("document.body.innerText")
                raise AssertionError(f"not in {seconds:g} s: {script}\n{text[:2000]}")
            await asyncio.sleep(0.03)

    async def click(self, selector: str) -> None:
        await self.until(f"!!document.querySelector({json.dumps(selector)})")
        await self.value(f"document.querySelector({json.dumps(selector)}).click()")

    async def press(self, key: str) -> None:
        code = {"key": key, "code": key, "windowsVirtualKeyCode": KEYS[key]}
        text = {"text": "\r"} if key == "Enter" else {}
        await self.call("Input.dispatchKeyEvent", type="keyDown", **code, **text)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **code)

    async def write(self, text: str) -> None:
        """Type into what has the focus."""
        await self.call("Input.insertText", text=text)

    async def screenshot(self, path: Path) -> None:
        taken = await self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        await asyncio.to_thread(path.write_bytes, base64.b64decode(taken["data"]))


LOADED = "document.readyState === 'complete'"


@asynccontextmanager
async def running_browser(folder: Path) -> AsyncIterator[Browser]:
    """Run a browser with a fresh profile until the block ends."""
    program = chromium()
    command = [
        *(program, "--headless=new", "--remote-debugging-pipe", f"--user-data-dir={folder}"),
        *("--no-first-run", "--no-default-browser-check", "--disable-gpu", "--hide-scrollbars"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        *("--no-sandbox", "--disable-dev-shm-usage", "--lang=en", "about:blank"),
    ]
    to_read, to_write = os.pipe(), os.pipe()  # it reads its descriptor 3, and writes 4

    def take_descriptors() -> None:
        high = [fcntl.fcntl(each, fcntl.F_DUPFD, 20) for each in (to_read[0], to_write[1])]
        os.dup2(high[0], 3)
        os.dup2(high[1], 4)

    process = subprocess.Popen(  # noqa: ASYNC220 - it starts at once
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        close_fds=False,
        preexec_fn=take_descriptors,
    )
    os.close(to_read[0])
    os.close(to_write[1])
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=64 * 1024 * 1024)
    source, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(to_write[0], "rb", 0)
    )
    transport, protocol = await loop.connect_write_pipe(
        asyncio.streams.FlowControlMixin, os.fdopen(to_read[1], "wb", 0)
    )
    browser = Browser(asyncio.StreamWriter(transport, protocol, None, loop), reader)
    try:
        yield browser
    finally:
        await browser.aclose()
        source.close()
        try:
            await asyncio.to_thread(process.wait, 10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
