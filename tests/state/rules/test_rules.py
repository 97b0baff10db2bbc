"""Every example in the rules' own words is so."""

import doctest
import importlib
import pkgutil
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

import state.rules
from functions.channels import token
from state.rules.evidence import Proof, Silence, judge
from state.rules.hours import opens_at, parse_hours
from state.rules.limits import TEXT_LIMIT, clamp_text
from state.rules.numbers import other_form

MODULES = [f"state.rules.{info.name}" for info in pkgutil.iter_modules(state.rules.__path__)]
YEAR = datetime(2026, 1, 1, tzinfo=UTC)
seconds = st.floats(0, 5000)


@pytest.mark.parametrize("name", [*MODULES, token.__name__])
def test_examples(name: str) -> None:
    tried = doctest.testmod(importlib.import_module(name))
    assert tried.attempted > 0
    assert tried.failed == 0


@given(
    st.builds(Silence, seconds, st.integers(0, 5000), st.none() | seconds, st.booleans(), seconds)
)
def test_nothing_is_absent_before_the_doors_were_open_long_enough(silence: Silence) -> None:
    proof = judge(silence, evidence_seconds=60, patience_seconds=600)
    if proof is Proof.ABSENT:
        assert silence.later_status
        read = silence.age - silence.unread
        assert min(read, silence.lived - silence.unread) >= 60
        assert silence.gap is None or read - silence.gap >= max(300, 2 * silence.gap)
    assert proof is not Proof.OPEN or silence.lived - silence.unread < 600


@given(st.text())
def test_a_clamped_text_always_fits(text: str) -> None:
    assert len(clamp_text(text * 50)) <= TEXT_LIMIT
    clamp_text(text).encode()


@given(st.from_regex(r"(54|549|52|521|55)[0-9]{10,11}", fullmatch=True))
def test_the_other_form_of_the_other_form_is_the_first(number: str) -> None:
    other = other_form(number)
    assert other is None or other_form(other) == number


@given(
    st.timedeltas(timedelta(0), timedelta(days=365)).map(lambda late: YEAR + late),
    st.sampled_from(("America/Argentina/Buenos_Aires", "America/Sao_Paulo", "Europe/Berlin")),
    st.sampled_from(("mon-fri 09:00-18:00", "sat 22:00-02:00", "sun-mon 00:00-24:00")),
)
def test_a_shop_that_opens_then_is_open_then(now: datetime, zone: str, hours: str) -> None:
    opens = opens_at(hours, zone, now)
    assert now <= opens <= now + timedelta(days=7, hours=1)
    assert opens_at(hours, zone, opens) == opens
    just_before = opens - timedelta(seconds=1)
    if opens > now:
        assert opens_at(hours, zone, just_before) == opens


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "at least one span"),
        ("mon 9-18", "not like 09:00-18:00"),
        ("monday 09:00-18:00", "is not like"),
        ("mon-xxx 09:00-18:00", "days are"),
        ("mon 09:00-09:00", "00:00-24:00"),
    ],
)
def test_hours_that_are_not_understood_say_which_part(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_hours(text)
