"""Receive webhooks. Safe to run twice: it only reads."""

from runtime import Context, Delivery, Webhook, function
from state.deliveries import delivery


class Receive(Delivery):
    """Something was posted."""


@function(trigger=Webhook("sample", signature="meta"), lane="sender")
async def receive(event: Receive, ctx: Context) -> str:
    """Return what was posted, as text."""
    async with ctx.transaction() as transaction:
        stored = await delivery(transaction.connection, event.delivery_id)
    assert stored is not None
    return stored.body.decode("latin-1")
