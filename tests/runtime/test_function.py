"""A declaration that could not work fails where it is written, and says what to write."""

import re
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import pytest

from runtime import (
    Concurrency,
    Context,
    Cron,
    Delivery,
    Event,
    Merge,
    Process,
    Rate,
    Retry,
    Scale,
    Webhook,
    function,
)
from runtime.errors import (
    DeclarationError,
    EventTooLarge,
    InvalidEvent,
    NewerEvent,
    UnknownFunction,
)
from runtime.event import decode, encode, validate
from runtime.lanes import lane_number
from runtime.registry import Registry, load_registry


class Order(Event):
    number: int
    book: str | None = None


class Other(Event):
    pass


async def handle(event: Order, ctx: Context) -> int:
    """Handle an order."""
    return event.number


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"timout": 3}, "did you mean 'timeout'?"),
        ({"timeout": 0}, "timeout=0: above 0"),
        ({"timeout": "60"}, "did you mean timeout=60?"),
        ({"timeout": True}, "did you mean timeout=60?"),
        ({"retry": 3}, "retry=3: did you mean retry=Retry(attempts=3)?"),
        ({"scale": 3}, "did you mean scale=Scale("),
        ({"lane": 3}, "did you mean lane="),
        ({"trigger": "*/5 * * * *"}, "did you mean trigger=Cron("),
        ({"trigger": [Cron("* * * * *")]}, "or a tuple of triggers"),
        ({"aliases": "former"}, "did you mean aliases=("),
        ({"timeout": 301}, "timeout=301"),
        ({"lane": "bok"}, "did you mean 'book'?"),
        ({"burst": Merge(quiet_seconds=1, cap_seconds=2)}, "needs lane="),
        ({"concurrency": 0}, "concurrency=0"),
        ({"namespace": "n"}, "needs lane="),
        ({"burst": 3, "lane": "number"}, "did you mean Merge"),
        (
            {"burst": Merge(1, 2), "lane": "number", "priority": "number"},
            "does nothing beside Merge",
        ),
        ({"deadline": 0}, "leave it out"),
        ({"priority": "numbr"}, "did you mean 'number'?"),
        ({"priority": "book"}, "write `book: int = 0` in Order"),
    ],
)
def test_a_wrong_policy_fails_with_a_remedy(options: Any, says: str) -> None:
    with pytest.raises(DeclarationError, match=re.escape(says)):
        function(**options)(handle)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Retry(attempts=0), "at least 1"),
        (lambda: Retry(steps_seconds=()), "one or more delays"),
        (lambda: Retry(steps_seconds=5), "as steps_seconds=(1, 60)"),  # type: ignore[arg-type]
        (lambda: Retry(attempts="3"), "did you mean attempts=3?"),  # type: ignore[arg-type]
        (lambda: Retry(attempts=2.5), "a whole number, as attempts=3"),  # type: ignore[arg-type]
        (lambda: Retry(attempts=True), "a whole number"),
        (lambda: Rate(10, per_seconds="1"), "did you mean per_seconds=1?"),  # type: ignore[arg-type]
        (lambda: Merge(quiet_seconds=float("nan"), cap_seconds=2), "Merge(quiet_seconds=nan)"),
        (lambda: Concurrency(fleet="5"), "did you mean fleet=5?"),  # type: ignore[arg-type]
        (lambda: Process(memory_mb=None), "a whole number"),  # type: ignore[arg-type]
        (lambda: Retry(on=TimeoutError), "did you mean on=(TimeoutError,"),  # type: ignore[arg-type]
        (lambda: Retry(on=()), "did you mean on=(TimeoutError,"),
        (lambda: Retry(on=("TimeoutError",)), "a tuple of exceptions"),  # type: ignore[arg-type]
        (lambda: Merge(quiet_seconds=3, cap_seconds=1), "quiet_seconds <= cap_seconds"),
        (lambda: Scale(minimum=3, maximum=2), "minimum <= maximum"),
        (lambda: Cron("* * *"), "for instance '*/15 * * * *'"),
        (lambda: Cron("61 * * * *"), "for instance '*/15 * * * *'"),
        (lambda: Cron("* * * * *", zone="Mars/Phobos"), "America/Argentina/Buenos_Aires"),
        (lambda: Cron("* * * * *", missed="never"), '"once" or "skip"'),  # type: ignore[arg-type]
        (lambda: Webhook("/whatsapp/", signature="meta"), "without slashes at its ends"),
    ],
)
def test_a_policy_part_that_can_never_work_is_refused(make: Any, says: str) -> None:
    with pytest.raises(DeclarationError, match=re.escape(says)):
        make()


def test_retries_spread_by_a_fifth() -> None:
    delays = [Retry().delay_seconds(2) for _ in range(1000)]
    assert 3.2 <= min(delays) < 3.3
    assert 4.7 < max(delays) <= 4.8


def test_a_number_of_an_event_is_one_that_json_can_write() -> None:
    class Price(Event):
        amount: float

    class Loose(Event):
        data: dict[str, Any]

    for amount in (float("nan"), float("inf")):
        with pytest.raises(InvalidEvent, match="amount: Input should be a finite number"):
            validate(Price, {"amount": amount})
        with pytest.raises(InvalidEvent, match=r"Loose has no JSON form: .* is no number in JSON"):
            encode(Loose(data={"amount": amount}))
    assert encode(Loose(data={"text": "NaN"})) == '{"data":{"text":"NaN"}}'


def test_a_cron_function_needs_an_event_with_defaults() -> None:
    with pytest.raises(DeclarationError, match="number"):
        function(trigger=Cron("* * * * *"))(handle)


def test_a_handler_is_async_and_names_its_event() -> None:
    def plain(event: Order, ctx: Context) -> None: ...

    async def nameless(event: Any, ctx: Context) -> None: ...

    async def lonely(event: Order) -> None: ...

    for wrong in (plain, nameless, lonely):
        with pytest.raises(DeclarationError):
            function()(wrong)  # type: ignore[arg-type]


async def test_a_function_stays_a_plain_callable() -> None:
    declared = function()(handle)
    assert await declared(Order(number=3), None) == 3  # type: ignore[arg-type]
    assert declared.summary == "Handle an order."


def test_two_functions_cannot_take_one_event() -> None:
    async def again(event: Order, ctx: Context) -> None: ...

    with pytest.raises(DeclarationError, match="one event, one function"):
        Registry([function()(handle), function()(again)], [])


def test_two_functions_cannot_have_the_address_of_one_webhook() -> None:
    class First(Delivery):
        pass

    class Second(Delivery):
        pass

    async def one(event: First, ctx: Context) -> None: ...

    async def another(event: Second, ctx: Context) -> None: ...

    sample = Webhook("sample", signature="meta")
    with pytest.raises(DeclarationError, match="by both another and one: one address"):
        Registry([function(trigger=sample)(one), function(trigger=sample)(another)], [])


def test_an_unknown_name_comes_with_the_nearest_one() -> None:
    registry = Registry([function()(handle)], [])
    with pytest.raises(UnknownFunction, match="did you mean 'handle'"):
        registry.named("handel")
    with pytest.raises(UnknownFunction, match="Other"):
        registry.of_event(Other())


def test_a_former_name_still_finds_the_function() -> None:
    registry = Registry([function(aliases=("deal",))(handle)], [])
    assert registry.named("deal").name == "handle"


def test_a_name_and_a_former_name_mean_one_function() -> None:
    async def again(event: Other, ctx: Context) -> None: ...

    async def same(event: Other, ctx: Context) -> None: ...

    same.__name__ = "handle"
    with pytest.raises(DeclarationError, match=r"handle is a function of both .*: rename one"):
        Registry([function()(handle), function()(same)], [])
    taken = function(aliases=("handle",))(again)
    with pytest.raises(DeclarationError, match=r"aliases=\('handle',\) of again: handle has"):
        Registry([function()(handle), taken], [])
    former = function(aliases=("deal",))
    with pytest.raises(DeclarationError, match=r"aliases=\('deal',\) of handle: again has"):
        Registry([former(handle), former(again)], [])


def test_a_file_that_does_not_import_is_named_and_leaves_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "shop_functions"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "fine.py").write_text(
        "from runtime import Context, Event, function\n"
        "class Fine(Event):\n    pass\n"
        "@function()\nasync def fine(event: Fine, ctx: Context) -> None: ...\n"
    )
    (package / "typo.py").write_text("import os\n\nimport no_such_module\n")
    (package / "syntax.py").write_text("x = 1\ny = = 2\n")
    (package / "leaves.py").write_text("raise SystemExit(3)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry = load_registry("shop_functions")
    assert list(registry.functions) == ["fine"]
    places = {one.name: one.line for one in registry.broken}
    assert places == {"typo": 3, "syntax": 2, "leaves": 1}
    with pytest.raises(UnknownFunction, match=r"typo does not import: .*typo\.py:3"):
        registry.named("typo")


def test_the_events_text_is_not_repeated_in_the_error() -> None:
    with pytest.raises(InvalidEvent) as caught:
        validate(Order, {"number": "secret-number", "boook": "x"})
    assert "secret" not in str(caught.value)
    assert [one["field"] for one in caught.value.problems] == ["number", "boook"]
    assert "did you mean 'book'" in str(caught.value)


def test_what_is_too_large_or_has_no_json_form_is_refused() -> None:
    with pytest.raises(EventTooLarge, match="1,000,000"):
        encode(Order(number=1, book="é" * 600_000))
    with pytest.raises(InvalidEvent):
        encode(Order(number=1, book="\ud800"))


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        # In Santiago, 00:00 jumps to 01:00 on 2026-09-06: right after the gap, then as ever.
        ("30 0 * * *", "2026-09-06T02:00:00+00:00", "2026-09-06T04:00:00+00:00"),
        ("30 0 * * *", "2026-09-06T05:00:00+00:00", "2026-09-07T03:30:00+00:00"),
        # On 2026-04-05, 00:00 falls back to 23:00 of the day before: 23:30 comes twice.
        ("30 23 * * *", "2026-04-05T02:00:00+00:00", "2026-04-05T02:30:00+00:00"),
        ("30 23 * * *", "2026-04-05T02:30:00+00:00", "2026-04-06T03:30:00+00:00"),
        ("30 * * * *", "2026-04-05T02:30:00+00:00", "2026-04-05T03:30:00+00:00"),
    ],
)
def test_cron_follows_the_wall_clock_of_its_zone(
    expression: str, after: str, expected: str
) -> None:
    cron = Cron(expression, zone="America/Santiago")
    assert cron.next_after(datetime.fromisoformat(after)) == datetime.fromisoformat(expected)


def test_lane_numbers_are_the_same_in_every_process_and_keep_namespaces_apart() -> None:
    assert lane_number("conversation", "42") == -7958253688541915602
    assert lane_number("a", "b") != lane_number("ab", "")
    assert -(2**63) <= lane_number("x", "\ud800") < 2**63


@pytest.mark.parametrize(
    ("stored", "newer"),
    [
        ('{"mood":"sad"}', True),
        ('{"size":"huge"}', True),
        ('{"more":1}', True),
        ('{"count":"many"}', False),  # wrong in every version
        ('{"count":"many","more":1}', False),
    ],
)
def test_what_only_a_newer_version_can_have_stored_is_told_from_what_is_wrong(
    stored: str, newer: bool
) -> None:
    class Size(StrEnum):
        SMALL = "small"

    class Shape(Event):
        mood: Literal["glad"] = "glad"
        size: Size = Size.SMALL
        count: int = 0

    with pytest.raises(InvalidEvent) as refused:
        decode(Shape, stored)
    assert isinstance(refused.value, NewerEvent) is newer
