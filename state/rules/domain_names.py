"""What may be a shop's domain, and how it is written: IDNA 2008, in A-labels and small letters."""

import ipaddress
import re

import idna

LONGEST = 253
WILDCARD = "*."
OWN = ("localhost", "local", "internal", "invalid", "onion", "arpa")
"""Names that mean something else than a host on the internet."""
REGISTRIES = frozenset(
    ("ac", "co", "com", "edu", "gob", "gov", "gub", "int", "ltda", "mil", "net", "nom", "org")
)
"""Second labels under which a country registers names, as in com.ar or co.uk."""


def parse_domain(text: str) -> str:
    """Return a domain as it is stored: A-labels in small letters, no dot at the end.

    >>> parse_domain("Tienda-Ñandú.com.ar."), parse_domain("*.tienda.com")
    ('xn--tienda-and-z9a5i.com.ar', '*.tienda.com')

    Raises:
        ValueError: it is none; the message says why and what to type instead.
    """
    typed = text.strip()
    if not typed:
        raise ValueError("a domain is missing; type one as in www.tienda.com")
    _refuse_addresses(typed)
    wildcard = typed.startswith(WILDCARD)
    bare = typed.removeprefix(WILDCARD)
    if "*" in bare:
        raise ValueError(
            f"{typed!r}: a * stands for the whole first label alone, as in *.tienda.com"
        )
    if "_" in bare:
        raise ValueError(f"{typed!r}: the name of a site has no underscore; use a hyphen")
    name = _a_labels(bare, typed)
    labels = name.split(".")
    if labels[-1] in OWN:
        raise ValueError(f"{typed!r}: names below .{labels[-1]} are not on the internet")
    if labels[-1].isdigit() or len(labels[-1]) < 2:
        raise ValueError(f"{typed!r}: a domain ends in a name such as .com; an address is none")
    if len(labels) < 2 or _registry(labels):
        raise ValueError(
            f"{typed!r}: names below {name} belong to many; add the shop's own, as in"
            f" {WILDCARD if wildcard else ''}tienda.{name}"
        )
    whole = WILDCARD * wildcard + name
    if len(whole) > LONGEST:
        raise ValueError(f"a domain has {LONGEST} characters at most; this one has {len(whole)}")
    return whole


def shown(name: str) -> str:
    """Return a domain as people write it.

    >>> shown("xn--tienda-and-z9a5i.com.ar")
    'tienda-ñandú.com.ar'
    """
    star = WILDCARD * is_wildcard(name)
    try:
        return star + idna.decode(name.removeprefix(WILDCARD))
    except idna.IDNAError:
        return name


def is_wildcard(name: str) -> bool:
    """Say whether a domain stands for every name one level below."""
    return name.startswith(WILDCARD)


def above(name: str) -> str:
    """Return what is left of a name without its first label.

    >>> above("www.tienda.com"), above("*.tienda.com")
    ('tienda.com', 'tienda.com')
    """
    return name.partition(".")[2]


def is_apex(name: str) -> bool:
    """Say whether a domain is registered as it is: such a name cannot have a CNAME record.

    >>> is_apex("tienda.com.ar"), is_apex("www.tienda.com")
    (True, False)
    """
    return len(above(name).split(".")) == 1 or _registry(above(name).split("."))


def _registry(labels: list[str]) -> bool:
    return len(labels) == 2 and len(labels[1]) == 2 and labels[0] in REGISTRIES


def _refuse_addresses(typed: str) -> None:
    """Refuse what is more than a name: an address of a page, of a machine, of a mailbox.

    Raises:
        ValueError: it is.
    """
    found = re.match(r"(?i)[a-z][a-z0-9+.-]*://", typed)
    if found or "/" in typed or "?" in typed or "#" in typed:
        host = re.split(r"[/?#]", typed[found.end() if found else 0 :])[0]
        raise ValueError(
            f"{typed!r} is an address; type the name alone: {host or 'www.tienda.com'}"
        )
    if "@" in typed:
        raise ValueError(f"{typed!r} is a mailbox; type the name alone: {typed.split('@')[-1]}")
    try:
        ipaddress.ip_address(typed.strip("[]"))
    except ValueError:
        pass
    else:
        raise ValueError(f"{typed!r} is an IP address; a shop's domain is a name")
    name, colon, port = typed.rpartition(":")
    if colon:
        remedy = f"type the name alone: {name}" if port.isdigit() else "a domain has no colon"
        raise ValueError(f"{typed!r} has a port; {remedy}")


def _a_labels(bare: str, typed: str) -> str:
    """Return a name in A-labels.

    Raises:
        ValueError: it cannot be written so.
    """
    try:
        name = idna.encode(bare, uts46=True, std3_rules=True).decode("ascii").lower()
        idna.decode(name)
    except (idna.IDNAError, UnicodeError) as error:
        raise ValueError(f"{typed!r} is no domain: {_plainly(bare, error)}") from None
    return name.removesuffix(".")


def _plainly(bare: str, error: Exception) -> str:
    labels = bare.split(".")
    if any(not label for label in labels[:-1]) or not labels[0]:
        return "there is nothing between two dots"
    if any(len(label) > 63 for label in labels):
        return "a label (what stands between dots) has 63 characters at most"
    if len(bare) > LONGEST:
        return f"a domain has {LONGEST} characters at most"
    if any(label.startswith("-") or label.endswith("-") for label in labels):
        return "no label begins or ends with a hyphen"
    if any(char.isspace() for char in bare):
        return "there is a space in it"
    return f"{str(error)[:1].lower()}{str(error)[1:]}"
