# /// script
# dependencies = ["functions-framework==3.10.2", "starlette==1.10.0", "uvicorn==0.54.0",
#                 "uvloop==0.23.0", "httptools==0.9.0"]
# ///
"""functions-framework's asynchronous server on uvicorn: reads the body and says yes."""

import sys

import functions_framework.aio
import uvicorn
from starlette.requests import Request
from starlette.responses import Response


async def take(request: Request) -> Response:
    """Read, and do nothing with it."""
    await request.body()
    return Response(status_code=200)


if __name__ == "__main__":
    app = functions_framework.aio.create_asgi_app(target="take", source=__file__)
    uvicorn.run(app, port=int(sys.argv[1]), loop="uvloop", http="httptools", access_log=False)
