"""The document describes what the registry declares."""

from gateway.api import routes
from runtime.registry import Registry
from tests.gateway.conftest import Client


async def test_every_function_is_described_with_its_event(
    outside: Client, registry: Registry
) -> None:
    document = (await outside.get("/api/openapi.json")).json()

    assert document["openapi"] == "3.1.0"
    for function in registry:
        operation = document["paths"][f"/functions/{function.name}"]["post"]
        reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        schema = document["components"]["schemas"][reference.rpartition("/")[2]]
        assert set(schema["properties"]) == set(function.event_type.model_fields)
        assert schema["additionalProperties"] is False
        assert set(operation["responses"]["200"]["content"]) == {
            "application/json",
            "text/event-stream",
        }
    assert len(document["paths"]) == len(registry.functions) * len(routes)


async def test_an_event_with_required_fields_has_a_required_body(outside: Client) -> None:
    paths = (await outside.get("/api/openapi.json")).json()["paths"]

    assert paths["/functions/note"]["post"]["requestBody"]["required"] is True
    assert paths["/functions/hello"]["post"]["requestBody"]["required"] is False


async def test_the_headers_that_a_call_may_have_are_described(outside: Client) -> None:
    paths = (await outside.get("/api/openapi.json")).json()["paths"]
    described = {one["name"] for one in paths["/functions/hello"]["post"]["parameters"]}

    assert described == {"Prefer", "Idempotency-Key", "Nexus-Shop", "Nexus-Delay", "Nexus-At"}
