"""What a stranger asks the demo shop, and what is a right answer."""

import pytest

from functions.agent_run import AgentRun
from runtime.settings import Settings
from state.channels import channels
from state.inbound import Written, take_messages
from state.messages import history
from state.shops import Shop
from tests.functions.shops import demo_shop
from tests.runtime.harness import Platform

ASKED: list[tuple[str, list[str], list[str]]] = [
    # what is asked, what the answer has to say, what it must not say
    ("¿tenés zapatillas 38?", ["Zapatillas", "talles 38", "$ "], ["Quebracho", "Skate"]),
    ("cuánto sale el envío a Rosario?", ["Rosario", "$ 5.800"], ["$ 3.500"]),
    ("quiero cambiar el talle", ["30 días", "gratis"], []),
    ("hola", ["Pampa Calzados y Ropa"], ["$"]),
    ("qué medios de pago tienen?", ["tarjetas", "Mercado Pago"], []),
    ("cuanto tarda el envio", ["24 horas hábiles"], []),
    ("tenés remeras negras en M?", ["Remera", "talles M", "negro"], ["Musculosa"]),
    ("precio de la campera inflable", ["Glaciar", "$ 129.900", "$ 149.900"], ["Rock"]),
    ("tenés la campera inflable negra en M?", ["no tenemos", "Glaciar"], []),
    ("horarios", ["lunes a viernes", "10 a 20"], []),
    ("dónde queda el local?", ["Avenida Córdoba 4550"], []),
    ("zapatilas para corer", ["running Ñandú", "$ 84.900"], []),
    ("hacen factura A?", ["CUIT"], []),
    ("botas de lluvia 37", ["Botas de lluvia Delta", "$ 58.900", "37"], []),
    ("quiero devolver un producto", ["10 días corridos"], []),
    ("hay descuento por transferencia?", ["10 %"], []),
    ("cuántas cuotas sin interés?", ["3 cuotas"], []),
    ("envian a Ushuaia?", ["Patagonia"], []),
    ("a partir de cuánto es gratis el envío?", ["$ 120.000"], []),
    ("qué talle soy si mi pie mide 24,4 cm?", ["24,4"], []),
    ("venden por mayor?", ["12 unidades"], []),
    ("es para regalo, lo envuelven?", ["gratis"], []),
    ("tienen heladeras?", ["no inventarlo"], ["$"]),
    ("tenés zapatillas de cuero 42 marrón?", ["Quebracho", "$ 119.900", "marrón"], []),
    ("algún pulóver de lana?", ["Sweater de lana Merino"], []),
    ("gracias!", ["nada"], ["$"]),
    ("tenes jean mom talle 40?", ["no tenemos", "mom Retro"], []),
    ("poncho", ["Poncho Salteño", "$ 119.900"], []),
    # the same in other words: voseo, slips, no accents, Portuguese
    ("la campera más barata", ["found first: Campera rompeviento Zonda"], []),
    ("cual es la campera mas economica", ["found first: Campera rompeviento Zonda"], []),
    ("la zapatilla vino fallada", ["garantía", "foto"], []),
    ("se me rompio la costura", ["garantía", "foto"], []),
    ("¿hacen envíos a Uruguay?", ["no enviamos al exterior"], ["gratis a todo el país"]),
    ("mandan al exterior?", ["no enviamos al exterior"], ["gratis"]),
    ("vocês enviam para o Brasil?", ["no enviamos al exterior"], []),
    ("me decis los horarios", ["lunes a viernes"], []),
    ("aceptan tarjeta de credito?", ["Visa"], []),
    ("queria devolver unas botas", ["10 días corridos"], []),
    ("son originales las zapas?", ["originales"], []),
    ("me llegó roto el pedido", ["garantía", "foto", "persona del equipo"], ["seguimiento"]),
    ("mandás a rosario? cuanto sale", ["Rosario", "$ 5.800"], ["días hábiles", "$ 3.500"]),
    ("tenes zapatiyas 38", ["Zapatillas", "talles 38", "$ "], ["Quebracho", "Skate"]),
    ("quedan zapatillas 38?", ["Zapatillas", "talles 38"], ["Avenida"]),
    ("onde fica a loja?", ["Avenida Córdoba 4550"], ["lunes"]),
    ("vocês têm tênis 38?", ["Zapatillas", "talles 38", "$ "], ["Quebracho", "Skate"]),
    ("tem camiseta preta M?", ["Remera", "talles M", "negro"], ["blanco"]),
    ("posso trocar o tamanho?", ["30 días", "gratis"], ["10 días"]),
    ("posso devolver?", ["10 días corridos"], []),
    ("quanto custa o frete para Rosario?", ["Rosario", "$ 5.800"], ["días hábiles"]),
    ("puedo pagar en cuotas", ["3 cuotas"], []),
    ("posso parcelar?", ["3 cuotas"], []),
    ("tienen garantía?", ["6 meses"], []),
]


async def ask(platform: Platform, shop: Shop, number: int, text: str) -> tuple[str, str]:
    """Have a new shopper ask; returns the answer and how the turn ended."""
    async with platform.database.tenant(shop.tenant) as connection:
        (phone,) = await channels(connection, shop.tenant)
        wamid = f"w{number}.{len(text)}"
        written = Written(
            phone.channel_id, f"54000{number}", None, "Ana", wamid, "text", text, {}, None
        )
        (taken,) = await take_messages(connection, shop.tenant, [written])
    outcome = await platform.run(
        AgentRun(conversation_id=taken.conversation_id), tenant=shop.tenant
    )
    async with platform.database.tenant(shop.tenant) as connection:
        said = await history(connection, shop.tenant, taken.conversation_id, 10)
    return said[-1].body or "", outcome.result or ""


async def test_the_demo_shop_answers_what_strangers_ask(
    settings: Settings, subtests: pytest.Subtests
) -> None:
    async with demo_shop(settings) as (platform, shop):
        for number, (text, wanted, unwanted) in enumerate(ASKED):
            answer, ended = await ask(platform, shop, number, text)
            with subtests.test(msg=text):
                assert ended == '"replied"', answer
                answer = answer.replace("• ", "• found first: ", 1)
                missing = [one for one in wanted if one.lower() not in answer.lower()]
                wrong = [one for one in unwanted if one.lower() in answer.lower()]
                assert not missing, answer
                assert not wrong, answer
                assert "modelo de demostración" in answer


async def test_who_asks_for_a_person_gets_one(settings: Settings) -> None:
    async with demo_shop(settings) as (platform, shop):
        answer, ended = await ask(platform, shop, 1, "quiero hablar con una persona")
        assert ended == '"handed_over"'
        assert "persona" in answer
        again, ended = await ask(platform, shop, 1, "¿tenés zapatillas 38?")
        assert ended == '"silent"'
        assert again == "¿tenés zapatillas 38?"  # nothing was said after it
