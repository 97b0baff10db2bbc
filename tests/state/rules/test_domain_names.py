"""What may be a shop's domain, in which form it is kept, and what is said of the rest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.rules.domain_names import above, is_apex, is_wildcard, parse_domain, shown

LONG = ".".join(["a" * 60] * 4)


@pytest.mark.parametrize(
    ("typed", "kept", "people_read"),
    [
        ("www.tienda.com", "www.tienda.com", "www.tienda.com"),
        ("  WWW.Tienda.COM. ", "www.tienda.com", "www.tienda.com"),
        ("tienda-ñandú.com.ar", "xn--tienda-and-z9a5i.com.ar", "tienda-ñandú.com.ar"),
        ("TIENDA-ÑANDÚ.com.ar", "xn--tienda-and-z9a5i.com.ar", "tienda-ñandú.com.ar"),
        ("tienda-n\u0303andu\u0301.com.ar", "xn--tienda-and-z9a5i.com.ar", "tienda-ñandú.com.ar"),
        ("xn--tienda-and-z9a5i.com.ar", "xn--tienda-and-z9a5i.com.ar", "tienda-ñandú.com.ar"),
        ("\uff34\uff29\uff25\uff2e\uff24\uff21\u3002com", "tienda.com", "tienda.com"),
        ("*.tienda.com", "*.tienda.com", "*.tienda.com"),
        ("*.ñandú.com.br", "*.xn--and-6ma2c.com.br", "*.ñandú.com.br"),
        ("lojão.com.br", "xn--lojo-ioa.com.br", "lojão.com.br"),
        ("faß.de", "xn--fa-hia.de", "faß.de"),
        ("1.tienda.com", "1.tienda.com", "1.tienda.com"),
        ("a" * 63 + ".com", "a" * 63 + ".com", "a" * 63 + ".com"),
        (LONG + ".exampleab", LONG + ".exampleab", LONG + ".exampleab"),
    ],
)
def test_a_name_has_one_form_however_it_is_typed(typed: str, kept: str, people_read: str) -> None:
    assert parse_domain(typed) == kept
    assert shown(kept) == people_read
    assert parse_domain(people_read) == kept


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("", "www.tienda.com"),
        ("tienda", "names below tienda belong to many"),
        ("com", "tienda.com"),
        ("*.com", r"\*\.tienda\.com"),
        ("com.ar", "tienda.com.ar"),
        ("*.co.uk", r"\*\.tienda\.co\.uk"),
        ("*tienda.com", "whole first label"),
        ("www.*.com", "whole first label"),
        ("*.*.tienda.com", "whole first label"),
        ("*", "whole first label"),
        ("https://www.tienda.com/x", "the name alone: www.tienda.com"),
        ("www.tienda.com/x", "the name alone: www.tienda.com"),
        ("www.tienda.com:443", "the name alone: www.tienda.com"),
        ("ana@tienda.com", "the name alone: tienda.com"),
        ("203.0.113.7", "IP address"),
        ("[2001:db8::1]", "IP address"),
        ("2001:db8::1", "IP address"),
        ("127.1", "an address is none"),
        ("mi_tienda.com", "use a hyphen"),
        ("-tienda.com", "hyphen"),
        ("tienda-.com", "hyphen"),
        ("www..tienda.com", "between two dots"),
        (".tienda.com", "between two dots"),
        ("tienda.com..", "between two dots"),
        ("mi tienda.com", "space"),
        ("a" * 64 + ".com", "63 characters"),
        (LONG + ".exampleabc", "253 characters"),
        ("*." + LONG + ".exampleab", "253 characters"),
        ("🍕.com", "not allowed"),
        ("xn--a.com", "not allowed"),
        ("tienda\u200b\u0000.com", "no domain"),
        ("localhost", "not on the internet"),
        ("tienda.localhost", "not on the internet"),
        ("*.local", "not on the internet"),
    ],
)
def test_what_is_none_is_refused_and_told_why(typed: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parse_domain(typed)


@given(st.text(max_size=80))
def test_whatever_is_typed_is_refused_or_kept_in_a_form_that_stays(typed: str) -> None:
    try:
        kept = parse_domain(typed)
    except ValueError:
        return
    assert kept.isascii()
    assert kept == kept.lower()
    assert len(kept) <= 253
    assert parse_domain(kept) == kept
    assert parse_domain(shown(kept)) == kept


def test_a_registered_name_itself_is_known_since_it_can_have_no_cname() -> None:
    assert [is_apex(name) for name in ("tienda.com", "tienda.com.ar")] == [True, True]
    assert [is_apex(name) for name in ("www.tienda.com", "www.tienda.com.ar")] == [False, False]
    assert (above("*.tienda.com"), is_wildcard("*.tienda.com")) == ("tienda.com", True)
