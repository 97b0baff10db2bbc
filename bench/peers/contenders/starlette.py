"""Starlette: a bare route that reads the body and says yes, on uvicorn as our gateway runs it."""

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


async def take(request: Request) -> Response:
    """Read, and do nothing with it."""
    await request.body()
    return Response(status_code=200)


PATH = "/webhooks/{provider}/{app}"
app = Starlette(routes=[Route(PATH, take, methods=["POST"]), Route("/healthz", take)])

if __name__ == "__main__":
    uvicorn.run(app, uds=sys.argv[1], loop="uvloop", http="httptools", access_log=False)
