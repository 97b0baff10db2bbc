"""What a reply may say: nothing that its evidence does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.rules.money import cents_of, money
from state.rules.receipts import unsupported

EVIDENCE = [
    '{"name": "Zapatillas", "url": "https://pampa.test/zapatillas", "variants": '
    '[{"Talle": "38", "price": "$ 64.990", "offer": "$ 54.990", "stock": 5}]}',
    "Envío a Rosario: $ 5.800, de 2 a 4 días hábiles. 10 % de descuento por transferencia."
    " Escribinos a hola@pampa.test. Seguimiento AR123456789. 3 cuotas sin interés.",
]


@pytest.mark.parametrize(
    "reply",
    [
        "Sí: $ 54.990 (antes $64,990.00), talle 38.",
        "El envío sale 5800 pesos y llega en 2 a 4 días, con 10% off por transferencia.",
        "Mirá https://pampa.test/zapatillas, o escribinos a hola@pampa.test.",
        "Tu seguimiento es AR123456789 y podés pagar en 3 cuotas.",
        "¡Hola! ¿En qué talle?",
        "Tu pedido 1234567 lo ve una persona.",
    ],
)
def test_what_the_evidence_says_may_be_said(reply: str) -> None:
    assert unsupported(reply, EVIDENCE, ["mi pedido es el 1234567"]) == []


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ("Te lo dejo en $ 40.000.", "price"),
        ("Te lo dejo en 40.000.", "price"),
        ("Son 60790 pesos con el envío.", "price"),
        ("Tenés 15% de descuento.", "percentage"),
        ("Tenés un 20 por ciento.", "percentage"),
        ("Pagá en https://pampa.test.evil.example/x", "link"),
        ("Escribí a ventas@pampa.test", "e-mail"),
        ("Llega en 24 horas.", "duration"),
        ("Tenés 12 cuotas sin interés.", "duration"),
        ("Usá el cupón PROMO20.", "number"),
        ("Tu seguimiento es AR987654321.", "number"),
        ("Llamá al 341 555-0100.", "number"),
    ],
)
def test_what_the_evidence_does_not_say_is_found(reply: str, kind: str) -> None:
    (found,) = unsupported(reply, EVIDENCE)
    assert found.kind == kind


def test_a_shoppers_price_is_no_evidence() -> None:
    (found,) = unsupported("Dale, $ 30.000", EVIDENCE, ["¿me lo dejás a $ 30.000?"])
    assert found.kind == "price"


@given(st.integers(0, 10**10), st.sampled_from(["ARS", "BRL", "MXN", "COP", "USD", "PEN"]))
def test_money_is_read_as_it_was_written(cents: int, currency: str) -> None:
    text = money(cents, currency).partition(" ")[2]
    assert cents_of(text) == cents


@given(st.integers(100, 10**9), st.integers(100, 10**9))
def test_an_amount_is_supported_by_itself_alone(one: int, other: int) -> None:
    evidence = [money(one, "ARS")]
    assert (unsupported(money(other, "ARS"), evidence) == []) == (one == other)


@given(st.text())
def test_nothing_a_model_writes_breaks_the_check(text: str) -> None:
    unsupported(text, [text], [text])
