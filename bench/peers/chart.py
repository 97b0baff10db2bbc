"""The page's table and its chart, made from the result."""

import json
import re
from html import escape
from typing import Any

from bench.peers.sizes import FULL
from bench.stack import ROOT

PAGE, CHART, RESULT = (
    ROOT / "docs" / name for name in ("performance.md", "peers.svg", "peers.json")
)
BETWEEN = re.compile(r"(<!-- table: bench peers -->\n).*?(<!-- end -->)", re.DOTALL)
DURABLE = ("nexus", "procrastinate", "dbos")
WIDTH, BAR, GAP, LABELS = 720, 22, 8, 120
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#24292f}rect{fill:#8c959f}.ours{fill:#1a7f64}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}}"
)


def write(found: dict[str, Any]) -> None:
    """Keep the result, and draw both from it. Safe to run twice: it replaces them."""
    RESULT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    CHART.write_text(chart(found), encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(BETWEEN.sub(rf"\1{table(found)}\2", page), encoding="utf-8")


def chart(found: dict[str, Any]) -> str:
    """Return bars of the no-ops per second, the fastest first."""
    rates = {name: rate for name, rate in found["dispatch"].items() if rate}
    most = max(rates.values())
    parts = []
    for place, (name, rate) in enumerate(sorted(rates.items(), key=lambda one: -one[1])):
        top = place * (BAR + GAP) + 36
        width = max((WIDTH - LABELS - 80) * rate / most, 1)
        kind = ' class="ours"' if name == "nexus" else ""
        parts.append(
            f'<text x="{LABELS - 8}" y="{top + 16}" text-anchor="end">{escape(name)}</text>'
            f'<rect{kind} x="{LABELS}" y="{top}" width="{width:.0f}" height="{BAR}" rx="3"/>'
            f'<text x="{LABELS + width + 6:.0f}" y="{top + 16}">{rate:,.0f}</text>'
        )
    height = len(rates) * (BAR + GAP) + 44
    title = "No-ops per second, one worker (nexus, procrastinate and dbos are durable)"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">'
        f"<title>{title}</title><style>{STYLE}</style>"
        f'<text x="8" y="20">{title}</text>{"".join(parts)}</svg>\n'
    )


def table(found: dict[str, Any]) -> str:
    """Return a row for each contender."""
    head = (
        "| | durable | no-ops/s | idle p50 / p99, ms | sends/s: one by one / in bulk |"
        " 1,000 waits of 1 s | 10,000 waits |\n|---|---|---|---|---|---|---|\n"
    )
    return head + "".join(_row(found, name) for name in FULL)


def _row(found: dict[str, Any], name: str) -> str:
    idle, sends = found["idle_latency"][name] or {}, found["enqueue"][name] or {}
    cells = [
        f"`{name}`",
        "yes" if name in DURABLE else "no",
        _number(found["dispatch"][name]),
        f"{_number(idle.get('p50_ms'), 1)} / {_number(idle.get('p99_ms'), 1)}",
        f"{_number(sends.get('single'))} / {_number(sends.get('batch'))}",
        *(_wait(found[key][name]) for key in ("waits_1000", "waits_10000")),
    ]
    return f"| {' | '.join(cells)} |\n"


def _wait(value: dict[str, float] | None) -> str:
    return f"{value['wall_s']:.2f} s, {value['pss_mb']:.0f} MB" if value else "-"


def _number(value: float | None, digits: int = 0) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"
