"""The demo model's sentences, in three languages."""

SAYS: dict[str, dict[str, str]] = {
    "es": {
        "demo": "(Soy un modelo de demostración: respondo solo con los datos de la tienda.)",
        "hello": "¡Hola! Soy el asistente de {shop}. ¿Qué estás buscando?",
        "thanks": "¡De nada! Cualquier otra cosa, escribinos.",
        "found": "Sí, tenemos:",
        "price": "{price}",
        "offer": "{offer} (antes {price})",
        "sizes": "talles {sizes}",
        "colours": "en {colours}",
        "which": "¿Cuál te gusta?",
        "none": "Por ahora no tenemos {what}.",
        "instead": "Lo que hay disponible:",
        "unknown": (
            "No tengo ese dato, y prefiero no inventarlo. ¿Querés que te responda una persona?"
        ),
        "asked": "ese talle o color",
        "more": "¿Te ayudo con algo más?",
    },
    "pt": {
        "demo": "(Sou um modelo de demonstração: respondo só com os dados da loja.)",
        "hello": "Olá! Sou o assistente da {shop}. O que você procura?",
        "thanks": "De nada! Se precisar de mais alguma coisa, é só escrever.",
        "found": "Sim, temos:",
        "price": "{price}",
        "offer": "{offer} (antes {price})",
        "sizes": "tamanhos {sizes}",
        "colours": "em {colours}",
        "which": "Qual você prefere?",
        "none": "No momento não temos {what}.",
        "instead": "O que há disponível:",
        "unknown": (
            "Não tenho essa informação e prefiro não inventar. Quer que uma pessoa responda?"
        ),
        "asked": "esse tamanho ou cor",
        "more": "Posso ajudar em mais alguma coisa?",
    },
    "en": {
        "demo": "(I am a demo model: I answer from the shop's own data alone.)",
        "hello": "Hello! I am the assistant of {shop}. What are you looking for?",
        "thanks": "You are welcome! Write to us any time.",
        "found": "Yes, we have:",
        "price": "{price}",
        "offer": "{offer} (was {price})",
        "sizes": "sizes {sizes}",
        "colours": "in {colours}",
        "which": "Which one do you like?",
        "none": "We do not have {what} at the moment.",
        "instead": "What is available:",
        "unknown": "I do not know that, and will not make it up. Shall a person answer you?",
        "asked": "that size or colour",
        "more": "Can I help with anything else?",
    },
}
