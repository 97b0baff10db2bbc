"""The application: every route, behind its door."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import BaseRoute

from gateway import api, assets, bells, health, live, openapi, tls
from gateway.doors import PrivateDoor
from gateway.envelope import Envelope, Traffic
from gateway.faults import HANDLERS, answer_fault
from gateway.hooks import Hooks
from gateway.pages import decisions, invocations, login, oddities, phone
from gateway.pages.board import Boards
from gateway.services import Services
from gateway.throttle import Throttle
from gateway.tokens import admin_tokens, internal_tokens
from gateway.watch import Watch
from runtime.keys import ring_of
from runtime.registry import Registry
from runtime.settings import Settings

PUBLIC: list[BaseRoute] = [
    *health.public,
    *openapi.routes,
    *assets.routes,
    *login.routes,
    *invocations.routes,
    *decisions.routes,
    *oddities.routes,
    *phone.routes,
    *live.routes,
]
PRIVATE: list[BaseRoute] = [*api.routes, *bells.private, *health.private, *tls.private]


def create_app(settings: Settings, registry: Registry) -> Starlette:
    """Return the application; it opens what it needs when it is started.

    Raises:
        ConfigurationError: a token is missing or too short, or a key is none.
    """
    if settings.encryption_key is not None:
        ring_of(settings)
    services = Services(settings, registry)
    traffic = Traffic()
    watch = Watch(services)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await services.start()
        try:
            yield
        finally:
            await watch.aclose()
            await services.aclose()

    app = Starlette(
        routes=[*PRIVATE, *PUBLIC],  # looked through in order: the hot ones first
        lifespan=lifespan,
        exception_handlers=HANDLERS,
        middleware=[
            Middleware(
                Envelope,
                on_bug=answer_fault,
                traffic=traffic,
                stopping=services.stopping.begun,
            ),
            Middleware(Hooks, registry=registry, services=services),
            Middleware(PrivateDoor, tokens=internal_tokens(settings)),
        ],
    )
    app.router.redirect_slashes = False  # a path has one spelling
    app.state.services = services
    app.state.traffic = traffic
    app.state.watch = watch
    app.state.boards = Boards(services)
    app.state.admin = admin_tokens(settings)
    app.state.throttle = Throttle()
    app.state.invented = tls.Invented()
    return app
