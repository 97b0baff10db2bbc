"""Use up CPU. Safe to run twice: it changes nothing."""

from runtime import Context, Event, Process, Retry, function


class Burn(Event):
    """Burn."""


@function(timeout=60, retry=Retry(attempts=1), isolation=Process(cpu_seconds=1))
async def burn(event: Burn, ctx: Context) -> None:
    """Never end."""
    while True:
        pass
