"""What the benches say of themselves is so."""

import re
from pathlib import Path

import pytest

from bench.peers.__main__ import shaped
from bench.peers.chart import chart, table
from bench.peers.environments import CONTENDERS, requirements
from bench.peers.sizes import FULL

NAMES = ["nexus", "rq_worker", "rq_simple", "taskiq", "saq", "arq", "dramatiq", "celery"]
NAMES += ["procrastinate", "dbos"]


@pytest.mark.parametrize("path", sorted(CONTENDERS.glob("[a-z]*.py")), ids=lambda path: path.stem)
def test_each_contender_pins_what_it_needs_and_runs_in_our_environment_without(path: Path) -> None:
    pinned = requirements(path.stem)
    assert all(re.fullmatch(r"[\w-]+(\[[\w,]+\])?==[\w.]+", one) for one in pinned)
    assert bool(pinned) == (path.stem not in ("nexus", "starlette"))


def test_the_result_has_every_name_and_null_where_there_is_no_figure() -> None:
    sends = {"single": 1.0, "batch": 2.0}
    result = shaped({"dispatch": {"saq": 3.0}, "enqueue": {"rq_worker": sends}, "together": 4.0})
    for key in ("dispatch", "waits_1000", "waits_10000", "idle_latency", "enqueue"):
        assert list(result[key]) == NAMES == list(FULL)
    assert result["dispatch"]["saq"] == 3.0
    assert result["dispatch"]["nexus"] is None
    assert result["enqueue"]["rq_simple"] == sends
    assert (result["together"], result["dispatch_lanes_10"]) == (4.0, None)
    for key in ("intake", "intake_64"):
        assert set(result[key]) == {"nexus", "starlette", "functions_framework_aio"}


def test_the_chart_has_a_bar_for_each_that_was_measured_and_the_table_a_row_for_all() -> None:
    result = shaped({"dispatch": {"nexus": 9000.4, "saq": 900.0}})
    drawn = chart(result)
    assert drawn.count("<rect") == 2
    assert drawn.index("nexus") < drawn.index(">saq<")
    rows = table(result).splitlines()[2:]
    assert [row.split("`")[1] for row in rows] == NAMES
    assert rows[0].startswith("| `nexus` | yes | 9,000 | - / - |")
