"""The application in this process, on real servers, and a client that speaks to it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple, TypeAlias

import httpx2
import pytest
from starlette.applications import Starlette

from gateway.app import create_app
from gateway.server import Server
from gateway.services import Services
from runtime.registry import Registry, load_registry
from runtime.settings import Settings
from runtime.worker import work
from state.database import Database

BEARER = {"Authorization": "Bearer internal-" + "t" * 32}
ADMIN_TOKEN = "admin-" + "t" * 32
ORIGIN = "http://nexus.test"

Client: TypeAlias = httpx2.AsyncClient


class Served(NamedTuple):
    """A running server."""

    app: Starlette
    server: Server
    origin: str

    @property
    def database(self) -> Database:
        services: Services = self.app.state.services
        return services.opened.database


@pytest.fixture(scope="session")
def registry() -> Registry:
    return load_registry("functions,tests.sample")


@pytest.fixture
async def app(settings: Settings, registry: Registry) -> AsyncIterator[Starlette]:
    application = create_app(settings, registry)
    async with application.router.lifespan_context(application):
        yield application


@asynccontextmanager
async def client_of(application: Starlette, **headers: str) -> AsyncIterator[Client]:
    """A client with its own cookies."""
    transport = httpx2.ASGITransport(app=application, client=("192.0.2.7", 1234))
    async with httpx2.AsyncClient(
        transport=transport, base_url=ORIGIN, headers=headers, timeout=30
    ) as client:
        yield client


@pytest.fixture
async def served(settings: Settings, registry: Registry) -> AsyncIterator[Served]:
    """The application behind a real uvicorn, since streams do not end."""
    application = create_app(settings, registry)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Server(application)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        await until(lambda: server.started)
        yield Served(application, server, f"http://127.0.0.1:{listener.getsockname()[1]}")
        server.should_exit = True
        await serving


@pytest.fixture
async def outside(app: Starlette) -> AsyncIterator[Client]:
    """Somebody without a token."""
    async with client_of(app) as client:
        yield client


@pytest.fixture
async def api(app: Starlette) -> AsyncIterator[Client]:
    """Somebody with the internal token."""
    async with client_of(app, **BEARER) as client:
        yield client


@pytest.fixture
def database(app: Starlette) -> Database:
    """The database as the application sees it."""
    services: Services = app.state.services
    return services.opened.database


@pytest.fixture
async def worker(settings: Settings, registry: Registry) -> AsyncIterator[None]:
    """A worker for all functions."""
    working = asyncio.create_task(work(settings, registry))
    yield
    working.cancel()
    with suppress(asyncio.CancelledError):
        await working


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Wait for a condition, with a deadline."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)
