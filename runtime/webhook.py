"""The event of functions that a provider's webhook starts."""

from runtime.event import Event


class Delivery(Event):
    """A provider posted something; it is stored, byte for byte, in `delivery`."""

    delivery_id: int
    app: str
    """The registration at whose address it came in, e.g. `meta`."""
    sender: str | None = None
    """Deliveries about one person have the same, as far as one can tell without reading them
    whole: a good lane. None: nobody in particular."""
