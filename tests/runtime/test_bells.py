"""RQ's own tools see our queues and workers, and harm nothing."""

import asyncio
import sys
from pathlib import Path

import pytest
import redis.asyncio as redis

import runtime.ringer
from runtime.bell import job_key, queue_key
from runtime.listener import Listener
from runtime.registry import load_registry
from runtime.ringer import Ringer
from runtime.settings import Settings
from tests.runtime.harness import ROOT, platform, worker_process
from tests.sample.greet import Greet


async def rq(settings: Settings, *arguments: str) -> str:
    """Run RQ's own command line."""
    assert settings.redis_url is not None
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("rq")),
        *arguments,
        "--url",
        settings.redis_url.get_secret_value(),
        cwd=ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(30):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, output.decode()
    return output.decode()


async def test_rq_info_shows_queues_and_workers(settings: Settings, tmp_path: Path) -> None:
    registry = load_registry("tests.sample")
    async with (
        platform(settings, registry) as found,
        worker_process(settings, tmp_path) as worker,
    ):
        await found.run(Greet())
        shown = await rq(settings, "info")
    assert "greet" in shown
    assert f"{len(registry.functions)} queues" in shown
    assert "1 workers" in shown
    assert str(worker.process.pid) in shown


async def test_a_backlog_shows_as_the_length_of_the_queue(
    settings: Settings, tmp_path: Path
) -> None:
    async with platform(settings, load_registry("tests.sample")) as found:
        async with worker_process(settings, tmp_path):
            await found.run(Greet())
        await found.dispatcher.dispatch_many([Greet() for _ in range(25)])
        async with asyncio.timeout(5):
            while "greet        | 25" not in (shown := await rq(settings, "info", "--raw")) and (
                "queue greet 25" not in shown
            ):
                await asyncio.sleep(0.1)


@pytest.mark.parametrize("serializer", ["pickle", "json"])
async def test_a_stock_rq_worker_on_our_queue_harms_nothing(
    settings: Settings, tmp_path: Path, serializer: str
) -> None:
    assert settings.redis_url is not None
    registry = load_registry("tests.sample")
    async with platform(settings, registry) as found:
        async with worker_process(settings, tmp_path):
            await found.run(Greet())  # the bells' jobs are in Redis now
        ids = await found.dispatcher.dispatch_many([Greet() for _ in range(5)])
        client = redis.Redis.from_url(settings.redis_url.get_secret_value())
        async with asyncio.timeout(5):
            while await client.llen(queue_key("greet")) < 5:
                await asyncio.sleep(0.02)
        output = await rq(settings, "worker", "greet", "--burst", "--serializer", serializer)
        assert "greet" in output
        assert await found.value("SELECT count(*) FROM work") == 5, "it did not run our work"
        async with worker_process(settings, tmp_path):
            for number in ids:
                assert (await found.end_of(number)).state == "done"
            assert (await found.run(Greet())).state == "done"
            async with asyncio.timeout(15):  # the heartbeat puts the bell right again
                while await client.hget(job_key("greet"), "status") != b"queued":
                    await asyncio.sleep(0.1)
        await client.aclose()


async def test_forged_and_doubled_bells_cost_a_look_and_nothing_else(
    settings: Settings, tmp_path: Path
) -> None:
    assert settings.redis_url is not None
    async with (
        platform(settings, load_registry("tests.sample")) as found,
        worker_process(settings, tmp_path) as worker,
    ):
        client = redis.Redis.from_url(settings.redis_url.get_secret_value())
        await found.run(Greet())
        forged: list[str | bytes] = [
            "bell-greet",
            "bell-greet",
            "os.system",
            b"\xff\x00",
            "x" * 5000,
        ]
        await client.rpush(queue_key("greet"), *forged)
        assert (await found.run(Greet())).state == "done"
        async with asyncio.timeout(15):
            while await client.llen(queue_key("greet")):
                await asyncio.sleep(0.05)
        assert worker.process.returncode is None
        await client.flushall()
        assert (await found.run(Greet())).state == "done"
        await client.aclose()


async def test_a_listener_ends_whenever_it_is_cancelled(redis_url: str) -> None:
    """redis-py 8.1 swallows a cancellation while it connects."""
    for turns_of_the_loop in range(40):
        listener = Listener(redis_url, {"greet": 1}, lambda _: None, lambda: 0)
        task = asyncio.create_task(listener.run())
        for _ in range(turns_of_the_loop):
            await asyncio.sleep(0)
        task.cancel()
        async with asyncio.timeout(1.5):
            await asyncio.wait([task])
        assert task.cancelled()
        await listener.aclose()


async def test_bells_are_left_alone_while_a_worker_says_so_and_no_longer(redis_url: str) -> None:
    pause_seconds, heard = 3600.0, list[str]()
    listener = Listener(redis_url, {"greet": 1}, heard.append, lambda: pause_seconds)
    task = asyncio.create_task(listener.run())
    async with redis.Redis.from_url(redis_url) as client, asyncio.timeout(20):
        await client.rpush(queue_key("greet"), "a", "b", "c")
        while not heard:
            await asyncio.sleep(0.01)
        for _ in range(20):
            await client.ping()
        assert heard == ["greet"]
        pause_seconds = 0.0
        while len(heard) < 3:
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task])
    await listener.aclose()


async def test_a_bell_beside_a_notify_rings_all_the_same(redis_url: str) -> None:
    ringer = Ringer(redis_url)
    async with redis.Redis.from_url(redis_url) as client:
        ringer.ring("greet", told=True)
        assert await client.blpop([queue_key("greet")], timeout=5) is not None
        ringer.ring("greet", told=True)
        await ringer.aclose()
        assert await client.llen(queue_key("greet")) == 1


async def commands(client: "redis.Redis") -> int:
    """Return how many commands this Redis has been given, this one not counted."""
    return int((await client.info("stats"))["total_commands_processed"]) - 1


async def test_in_a_crowd_one_message_carries_the_bells_of_many_flushes(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime.ringer, "GATHER_SECONDS", 0.5)
    ringer = Ringer(redis_url)
    async with redis.Redis.from_url(redis_url) as client:
        ringer.ring("greet")
        assert await client.blpop([queue_key("greet")], timeout=5) is not None
        before = await commands(client)
        for _ in range(20):
            ringer.ring("greet")
            await asyncio.sleep(0)
        await ringer.aclose()
        given = await commands(client) - before
        assert await client.llen(queue_key("greet")) == 20
        assert given == 2  # the message, and what counted it
