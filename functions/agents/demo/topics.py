"""What shoppers ask besides products, and what they call things: the demo model's vocabulary."""

from collections.abc import Sequence
from typing import NamedTuple


class Topic(NamedTuple):
    """Something that shops have a text about."""

    name: str
    asked: str
    """Beginnings of words that ask for it, in es, pt and en; those joined by + belong together."""
    told: str = ""
    """What a shop writes of it: a text that has all of these words is about it."""

    def fits(self, words: Sequence[str]) -> bool:
        """Say whether a question is about it.

        >>> Topic("", "troc donde+queda").fits(["posso", "trocar"])
        True
        >>> Topic("", "donde+queda").fits(["queda", "alguna"])
        False
        """
        return any(
            all(any(word.startswith(one) for word in words) for one in alternative.split("+"))
            for alternative in self.asked.split()
        )


PERSON = Topic("person", "persona humano asesor vendedor reclam queja cancel atendente human")
SIZE = Topic("size", "guia medida mide cintura", "guia talles")
TOPICS = (
    # the first one that fits
    Topic(
        "fault",
        "roto rota rompi defect fall danad danific quebrad rasgad defeit broken faulty damaged"
        " garant warranty",
        "fallas garantia",
    ),
    Topic(
        "abroad",
        "exterior uruguay chile brasil brazil paraguay bolivia peru mexico colombia espana abroad"
        " overseas internacional",
        "exterior",
    ),
    PERSON,
    Topic("refund", "devol devuelv arrepent reembols return refund", "devolver devoluciones"),
    Topic("exchange", "cambi troc exchange", "cambio talle"),
    Topic("delivery time", "tarda demor llega plazo prazo", "tarda envio"),
    Topic("tracking", "seguim segui+pedido sigo+pedido rastre track", "seguimiento"),
    Topic(
        "cost of shipping",
        "envi+sale envi+cuesta envi+costo envi+precio manda+sale manda+cuesta frete+cust"
        " frete+preco ship+cost deliver+cost",
        "cuesta envio",
    ),
    Topic("shipping", "envi manda despach frete entreg ship deliver", "envio"),
    Topic("instalments", "cuota parcel instal", "cuotas interes"),
    Topic("invoice", "factura fiscal invoice", "factura"),
    Topic("discount", "descuento desconto discount", "descuento"),
    Topic(
        "payment", "pago pagar pagam tarjeta cartao transfer efectivo mercado pay", "pagar tarjetas"
    ),
    Topic("hours", "horari abren abre abiert abert cierra open", "horarios abre"),
    Topic(
        "store",
        "local direccion showroom loja endereco address donde+queda donde+estan onde+fica store",
        "local queda",
    ),
    Topic("wholesale", "mayor revend atacado wholesale", "mayor"),
    SIZE,
    Topic("gift", "regalo envolt gift", "regalo"),
    Topic("original", "original autentic truch", "originales"),
    Topic("reserve", "reserv guard aparta", "reservar"),
)

WARES = {
    # what others call it: what the shop calls it
    "tenis": "zapatillas",
    "sneakers": "zapatillas",
    "sapatos": "zapatos",
    "shoes": "zapatos",
    "boots": "botas",
    "chinelos": "ojotas",
    "camisetas": "remeras",
    "playeras": "remeras",
    "shirts": "remeras",
    "moletom": "buzo",
    "hoodies": "buzos",
    "jaquetas": "camperas",
    "chaquetas": "camperas",
    "casacos": "camperas",
    "jackets": "camperas",
    "calcas": "pantalones",
    "pants": "pantalones",
    "saias": "polleras",
    "faldas": "polleras",
    "skirts": "polleras",
    "dresses": "vestidos",
    "meias": "medias",
    "calcetines": "medias",
    "socks": "medias",
    "bones": "gorras",
    "luvas": "guantes",
    "gloves": "guantes",
    "oculos": "anteojos",
    "gafas": "anteojos",
    "sunglasses": "anteojos",
    "backpacks": "mochilas",
    "preto": "negro",
    "black": "negro",
    "branco": "blanco",
    "white": "blanco",
    "vermelho": "rojo",
    "red": "rojo",
    "cinza": "gris",
    "grey": "gris",
}
