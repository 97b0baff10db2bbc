"""Who may get marketing: nobody who asked to be left alone."""

import unicodedata

MARKETING = "marketing"

STOP_WORDS = frozenset(
    {
        "stop",
        "unsubscribe",
        "baja",
        "dar de baja",
        "darme de baja",
        "quiero darme de baja",
        "no quiero recibir mas mensajes",
        "no me escriban mas",
        "sair",
        "parar",
        "descadastrar",
        "cancelar inscricao",
        "nao quero receber mais mensagens",
    }
)


def may_send(class_: str, opted_out: bool) -> bool:
    """Say whether a message of this class may go to this person.

    >>> may_send("marketing", True), may_send("marketing", False), may_send("reply", True)
    (False, True, True)
    """
    return class_ != MARKETING or not opted_out


def asks_to_stop(text: str) -> bool:
    """Say whether a whole message asks to be left alone, in es, pt or en.

    Only the whole text counts: "¿me dan de baja la cuota?" is a question for somebody.

    >>> asks_to_stop("  BAJA. "), asks_to_stop("Não quero receber mais mensagens!")
    (True, True)
    >>> asks_to_stop("baja el precio?"), asks_to_stop("")
    (False, False)
    """
    plain = unicodedata.normalize("NFD", text.lower())
    letters = "".join(
        one if one.isalpha() else " " for one in plain if not unicodedata.combining(one)
    )
    return " ".join(letters.split()) in STOP_WORDS
