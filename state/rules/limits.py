"""How long things may be (WhatsApp Cloud API, Messages)."""

TEXT_LIMIT = 4096
CALLBACK_LIMIT = 512
ELLIPSIS = "…"


def sendable(text: str) -> str:
    r"""Return a text without what neither Postgres nor the provider can hold.

    >>> sendable("  a\0b\ud800 ")
    'ab'
    """
    return text.replace("\0", "").encode("utf-8", "ignore").decode().strip()


def clamp_text(text: str, limit: int = TEXT_LIMIT) -> str:
    """Return the text cut to what one message holds, at a word's end when there is one near.

    >>> clamp_text("one two three", 9)
    'one two…'
    >>> clamp_text("onetwothree", 9)
    'onetwoth…'
    >>> clamp_text("one two", 7)
    'one two'
    """
    text = sendable(text)
    if len(text) <= limit:
        return text
    cut = text[: limit - len(ELLIPSIS)]
    if not text[len(cut)].isspace():
        word = max(cut.rfind(" "), cut.rfind("\n"))
        if word > len(cut) // 2:
            cut = cut[:word]
    return cut.rstrip() + ELLIPSIS
