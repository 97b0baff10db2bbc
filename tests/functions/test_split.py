"""Taking deliveries apart: whatever comes, nothing is raised and nothing beside it is lost."""

import doctest
import importlib
import json
import pkgutil
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import functions
from bench.fuzz import anything, shaped, with_rubbish
from bench.shop import Shopper, text_message
from functions.intake.split import split

MODULES = [info.name for info in pkgutil.walk_packages(functions.__path__, "functions.")]


@pytest.mark.parametrize("name", MODULES)
def test_examples_are_true(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=500), shaped)
def test_nothing_that_comes_breaks_it(raw: bytes, data: Any) -> None:
    split(raw)
    found = split(json.dumps(data).encode())
    json.dumps([one.content for one in found.inbound])


@settings(max_examples=300, deadline=None)
@given(st.lists(anything, max_size=4))
def test_a_good_message_is_found_beside_anything(rubbish: list[Any]) -> None:
    found = split(with_rubbish(text_message(Shopper("549341"), 7, "hola"), rubbish))
    assert [one.body for one in found.inbound if one.wamid == "wamid.bench.7"] == ["hola"]


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_every_text_is_kept_as_far_as_postgres_can_hold_it(text: str) -> None:
    (found,) = split(text_message(Shopper("549341"), 7, text)).inbound
    kept = (found.body or "").encode()  # raises for half a surrogate pair
    assert b"\0" not in kept
    if "\0" not in text:
        assert (found.body or "") == text.strip()
