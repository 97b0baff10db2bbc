"""Caddy asks for the gateway's address again and again, and waits long for its answers."""

import json
import os
import socket
import socketserver
import struct
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest

from runtime.host.binaries import caddy
from runtime.host.layout import HOME
from runtime.host.probes import answers_http
from runtime.host.program import Program
from tests.servers import free_port, running
from tests.stacks import wait_for

DIRECTIVES = ["response_header_timeout", "read_timeout", "write_timeout"]


class NameServer(socketserver.ThreadingUDPServer):
    """Answers every question for an address with the one it was told last."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.address = "127.0.0.2"
        self.asked = 0


class Answer(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        server: NameServer = self.server  # type: ignore[assignment]
        query, channel = self.request
        end = query.index(b"\0", 12) + 5
        server.asked += 1
        header = query[:2] + b"\x85\x80" + struct.pack("!4H", 1, 1, 0, 0)
        record = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 1, 4) + socket.inet_aton(server.address)
        channel.sendto(header + query[12:end] + record, self.client_address)


class Upstream(ThreadingHTTPServer):
    """Says which address it has; `/api/slow/N` takes N seconds."""

    daemon_threads = True

    def __init__(self, address: str, port: int) -> None:
        super().__init__((address, port), Respond)
        self.name = address


class Respond(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server: Upstream = self.server  # type: ignore[assignment]
        if "/slow/" in self.path:
            time.sleep(float(self.path.rpartition("/")[2]))
        body = server.name.encode()
        with suppress(BrokenPipeError):  # whoever asked has given up
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def edge(folder: Path, environment: Mapping[str, str]) -> Program:
    """Caddy with our Caddyfile, and nothing around it."""
    port = free_port()
    return Program(
        "caddy",
        (str(caddy()), "run", "--config", str(HOME / "Caddyfile"), "--adapter", "caddyfile"),
        {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PORT": str(port),
            "PUBLIC_BIND": "127.0.0.1",
            "NEXUS_PRIVATE_PORT": str(free_port()),
            **environment,
        },
        ready=answers_http(port, "/healthz"),
        directory=str(folder),
    )


def ask(program: Program, path: str) -> httpx2.Response:
    url = f"http://localhost:{program.environment['PORT']}{path}"
    return httpx2.get(url, timeout=60, trust_env=False)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="127.0.0.2 exists on Linux only")
def test_traffic_follows_a_name_that_changes_its_address(tmp_path: Path) -> None:
    port = free_port()
    names = NameServer()
    resolver = f"127.0.0.1:{names.server_address[1]}"
    settings = {
        "UPSTREAM_MODE": "dns",
        "UPSTREAM_REFRESH": "2s",
        "GATEWAY_HOST": "gateway.test",
        "GATEWAY_PORT": str(port),
        "DNS_RESOLVER": resolver,
    }
    program = edge(tmp_path, settings)
    with ExitStack() as stack:
        stack.enter_context(serving(names))
        for address in ("127.0.0.2", "127.0.0.3"):
            stack.enter_context(serving(Upstream(address, port)))
        stack.enter_context(running(program, tmp_path))
        assert ask(program, "/api/who").text == "127.0.0.2"
        names.address = "127.0.0.3"
        began = time.monotonic()
        wait_for("the new address", lambda: ask(program, "/api/who").text == "127.0.0.3", 10)
        assert time.monotonic() - began < 3
        assert names.asked <= 4, "the name is remembered in between"


def test_an_answer_that_takes_too_long_ends_in_504(tmp_path: Path) -> None:
    port = free_port()
    settings = {"GATEWAY_ADDR": f"127.0.0.1:{port}", "UPSTREAM_TIMEOUT": "3s", "UPSTREAM_TRY": "1s"}
    program = edge(tmp_path, settings)
    with serving(Upstream("127.0.0.1", port)), running(program, tmp_path):
        assert ask(program, "/api/slow/2").status_code == 200
        began = time.monotonic()
        assert ask(program, "/api/slow/6").status_code == 504
        assert 2.5 < time.monotonic() - began < 5


def test_by_default_an_answer_may_take_five_minutes_and_names_are_asked_every_30_seconds() -> None:
    adapted = adapt({"UPSTREAM_MODE": "dns"})
    proxies = list(found(adapted, "reverse_proxy"))
    assert proxies
    for proxy in proxies:
        assert [seconds(proxy["transport"][each]) for each in DIRECTIVES] == [300, 300, 300]
        assert proxy["flush_interval"] == -1
        assert seconds(proxy["dynamic_upstreams"]["refresh"]) == 30
        assert seconds(proxy["load_balancing"]["try_duration"]) == 35


def adapt(environment: Mapping[str, str]) -> Any:
    command = [str(caddy()), "adapt", "--config", str(HOME / "Caddyfile"), "--adapter", "caddyfile"]
    done = subprocess.run(command, env=dict(environment), capture_output=True, check=True)
    return json.loads(done.stdout)


def found(node: Any, handler: str) -> Iterator[Any]:
    """Find all handlers of a kind in an adapted configuration."""
    if isinstance(node, dict):
        if node.get("handler") == handler:
            yield node
        for value in node.values():
            yield from found(value, handler)
    elif isinstance(node, list):
        for value in node:
            yield from found(value, handler)


def seconds(nanoseconds: int) -> float:
    return nanoseconds / 1_000_000_000
