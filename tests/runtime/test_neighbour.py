"""Bells of another host: gathered, sent again, and never anywhere else."""

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from runtime import neighbour
from runtime.neighbour import Neighbour
from tests.runtime.harness import until

TOKEN = "internal-" + "t" * 32


class Host:
    """Answers requests one after another as it is told, and remembers what they said."""

    def __init__(self) -> None:
        self.url = ""
        self.bells: list[dict[str, int]] = []
        self.heads: list[str] = []
        self.answers: list[str] = []
        """Status lines and headers to come; none: 204."""
        self.open = asyncio.Event()
        self.open.set()
        self.at_once = self.most_at_once = 0

    def rung(self, function: str) -> int:
        return sum(said.get(function, 0) for said in self.bells)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                size = next(
                    int(line.partition(":")[2])
                    for line in head.splitlines()
                    if line.lower().startswith("content-length")
                )
                said: Any = json.loads(await reader.readexactly(size))
                self.heads.append(head)
                self.at_once += 1
                self.most_at_once = max(self.most_at_once, self.at_once)
                await self.open.wait()
                self.at_once -= 1
                answer = self.answers.pop(0) if self.answers else "204 No Content"
                if answer.startswith("204"):
                    self.bells.append(said["bells"])
                length = "" if answer.startswith("204") else "\r\nContent-Length: 0"
                writer.write(f"HTTP/1.1 {answer}{length}\r\n\r\n".encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def host(tls: ssl.SSLContext | None = None) -> AsyncIterator[Host]:
    found = Host()
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0, ssl=tls)
    scheme = "https" if tls else "http"
    found.url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield found
    finally:
        server.close()


@asynccontextmanager
async def line_to(url: str) -> AsyncIterator[Neighbour]:
    line = Neighbour(url, TOKEN)
    try:
        yield line
    finally:
        await line.aclose()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbour, "FIRST_PAUSE_SECONDS", 0.01)


async def test_what_comes_while_a_request_is_under_way_leaves_together_in_the_next() -> None:
    async with host() as there, line_to(there.url) as line:
        there.open.clear()
        line.ring("note", 1)
        await until(lambda: there.at_once == 1)
        for _ in range(300):
            line.ring("note", 2)
            line.ring("greet", 1)
        there.open.set()
        await until(lambda: there.rung("greet") == 300)

    assert there.bells == [{"note": 1}, {"note": 600, "greet": 300}]
    assert there.most_at_once == 1
    assert all(head.startswith("POST /internal/bells ") for head in there.heads)
    assert all(f"Bearer {TOKEN}" in head for head in there.heads)


async def test_a_refused_bell_is_rung_again_until_it_is_taken() -> None:
    async with host() as there, line_to(there.url) as line:
        there.answers += ["503 Service Unavailable", "401 Unauthorized"]
        line.ring("note", 3)
        await until(lambda: line.problem.startswith("answers 401: INTERNAL_API_TOKEN differs"))
        since = line.away_since
        assert since is not None
        await until(lambda: there.rung("note") == 3)
        await until(lambda: not line.problem)

    assert line.away_since is None
    assert there.bells == [{"note": 3}]


async def test_a_host_that_is_away_is_told_when_it_is_back() -> None:
    async with host() as there:
        url = there.url
    async with line_to(url) as line:
        line.ring("note", 1)
        await until(lambda: line.problem.startswith("does not answer"))
        since = line.away_since
        line.ring("note", 1)
        found = Host()
        port = int(url.rpartition(":")[2])
        server = await asyncio.start_server(found.serve, "127.0.0.1", port)
        await until(lambda: found.rung("note") == 2)
        await until(lambda: line.away_since is None)
        server.close()
    assert since is not None


async def test_a_knock_asks_for_what_should_run_there_and_rings_nothing() -> None:
    async with host() as there, line_to(there.url) as line:
        line.functions |= {"note": "AGENT_SERVICE_URL", "greet": "AGENT_SERVICE_URL"}
        line.knock()
        await until(lambda: line.answered)
    assert there.bells == [{"note": 0, "greet": 0}]


async def test_the_token_follows_no_redirect() -> None:
    async with host() as there, host() as stranger, line_to(there.url) as line:
        there.answers += [f"307 Temporary Redirect\r\nLocation: {stranger.url}/internal/bells"]
        line.ring("note", 1)
        await until(lambda: there.rung("note") == 1)
    assert stranger.heads == []


async def test_a_host_whose_certificate_nobody_vouches_for_gets_no_token(tmp_path: Path) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(self_signed(tmp_path))
    async with host(tls) as there, line_to(there.url) as line:
        line.ring("note", 1)
        await until(lambda: bool(line.problem))
    assert line.problem == "does not answer (ConnectError)"
    assert there.heads == []


async def test_neither_token_nor_address_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with host() as there, line_to(there.url) as line:
        there.answers += ["401 Unauthorized"]
        line.ring("note", 1)
        await until(lambda: there.rung("note") == 1)
        await until(lambda: not line.problem)
    said = "".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)
    assert TOKEN not in said
    assert TOKEN not in repr(line)


async def test_closing_does_not_wait_for_who_does_not_answer() -> None:
    async with host() as there:
        there.open.clear()
        line = Neighbour(there.url, TOKEN)
        line.ring("note", 1)
        await until(lambda: there.at_once == 1)
        async with asyncio.timeout(5):
            await line.aclose()
        there.open.set()


def self_signed(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    path = folder / "host.pem"
    pem = serialization.Encoding.PEM
    path.write_bytes(key.private_bytes(pem, form, plain) + certificate.public_bytes(pem))
    return path
