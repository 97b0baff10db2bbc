"""Vectors in Chroma, over its HTTP API: one collection per shop, kind and space.

Only what can be made again from Postgres is kept here. Who asks must not wait for it: it answers
soon, or counts as away. (The `chromadb` client would cost each worker 40 MB more for five calls.)
"""

import asyncio
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import httpx2

BASE = "/api/v2/tenants/default_tenant/databases/default_database"
ASK_SECONDS = 0.4
WRITE_SECONDS = 20.0
PRODUCTS, PASSAGES = "products", "passages"
FAR = 0.93
"""Cosine distance from which on two texts have nothing in common."""

_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, "Vectors"]] = WeakKeyDictionary()


class VectorsAway(Exception):
    """Chroma does not answer, or not in time."""


def vectors_at(url: str) -> "Vectors":
    """Return the client of this process's event loop."""
    here = _clients.setdefault(asyncio.get_running_loop(), {})
    if url not in here:
        here[url] = Vectors(url)
    return here[url]


class Vectors:
    """One Chroma server."""

    def __init__(self, url: str) -> None:
        self._client = httpx2.AsyncClient(base_url=url.rstrip("/"), trust_env=False)
        self._ids: dict[str, str] = {}
        """Chroma's own ids of collections, by name."""

    async def nearest(
        self, tenant: int, kind: str, space: str, vector: Sequence[float], limit: int
    ) -> list[int] | None:
        """Return ids of the nearest rows, the nearest first; None: nothing is stored there.

        Raises:
            VectorsAway: no answer within 0.4 s.
        """
        asked = {"query_embeddings": [list(vector)], "n_results": limit, "include": ["distances"]}
        name = collection_name(tenant, kind, space)
        answer = await self._on(name, "query", asked, ASK_SECONDS)
        ids, distances = (answer.get(name) or [[]] for name in ("ids", "distances"))
        if not ids[0]:
            return None
        return [
            int(one) for one, distance in zip(ids[0], distances[0], strict=True) if distance < FAR
        ]

    async def put(
        self,
        tenant: int,
        kind: str,
        space: str,
        ids: Sequence[int],
        vectors: Sequence[Sequence[float]],
    ) -> None:
        """Store vectors of rows. Safe to run twice.

        Raises:
            VectorsAway: they may or may not be stored.
        """
        given = {"ids": [str(one) for one in ids], "embeddings": [list(one) for one in vectors]}
        await self._on(collection_name(tenant, kind, space), "upsert", given, WRITE_SECONDS)

    async def forget(self, tenant: int, kind: str, space: str) -> None:
        """Forget a collection whole. Safe to run twice.

        Raises:
            VectorsAway: it may still be there.
        """
        name = collection_name(tenant, kind, space)
        self._ids.pop(name, None)
        response = await self._send("DELETE", f"{BASE}/collections/{name}", None, WRITE_SECONDS)
        if response.status_code not in (200, 404):
            raise VectorsAway(f"Chroma answers {response.status_code}")

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _on(self, name: str, verb: str, data: Any, seconds: float) -> dict[str, Any]:
        """Call a collection; one that is gone (an emptied Chroma) is made again, once."""
        for last in (False, True):
            collection = await self._collection(name, seconds)
            path = f"{BASE}/collections/{collection}/{verb}"
            response = await self._send("POST", path, data, seconds)
            if response.is_success:
                found = response.json()
                return found if isinstance(found, dict) else {}
            self._ids.pop(name, None)
            if last or response.status_code >= 500:
                break
        raise VectorsAway(f"Chroma answers {response.status_code}")

    async def _collection(self, name: str, seconds: float) -> str:
        if name not in self._ids:
            wanted = {
                "name": name,
                "get_or_create": True,
                "configuration": {"hnsw": {"space": "cosine"}},
            }
            response = await self._send("POST", f"{BASE}/collections", wanted, max(seconds, 2.0))
            if not response.is_success:
                raise VectorsAway(f"Chroma answers {response.status_code}")
            self._ids[name] = response.json()["id"]
        return self._ids[name]

    async def _send(self, method: str, path: str, data: Any, seconds: float) -> httpx2.Response:
        try:
            async with asyncio.timeout(seconds):
                return await self._client.request(method, path, json=data)
        except (httpx2.HTTPError, TimeoutError, OSError) as error:
            raise VectorsAway(f"Chroma does not answer ({type(error).__name__})") from None


def collection_name(tenant: int, kind: str, space: str) -> str:
    """Return the name of a collection.

    >>> collection_name(7, PRODUCTS, "hash-v1-384")
    'shop-7-products-hash-v1-384'
    """
    return f"shop-{tenant}-{kind}-{space}"
