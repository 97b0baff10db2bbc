"""What Meta's Graph API takes for a message, and how it refuses the rest."""

import re
from typing import Any

VERSION = re.compile(r"v(2[0-9])\.0")
NUMBER = re.compile(r"\+?[0-9]{6,20}")
PERSON = re.compile(r"[A-Z]{2}\.[0-9A-Za-z.]{1,128}")
WAMID = re.compile(r"wamid\.[0-9A-Za-z+/=_-]{4,200}")

Fields = dict[str, tuple[type, bool]]
"""Name of a field: its type, and whether it is required."""

MESSAGE: Fields = {
    "messaging_product": (str, True),
    "recipient_type": (str, False),
    "to": (str, False),
    "recipient": (str, False),
    "type": (str, True),
    "context": (dict, False),
    "text": (dict, True),
    "biz_opaque_callback_data": (str, False),
}
TEXT: Fields = {"preview_url": (bool, False), "body": (str, True)}
CONTEXT: Fields = {"message_id": (str, True)}


class Wrong(Exception):
    """The request is not one that Meta would take."""

    def __init__(self, code: int, message: str, http_status: int = 400) -> None:
        super().__init__(message)
        self.code, self.http_status = code, http_status


def error_document(code: int, message: str) -> dict[str, Any]:
    return {
        "error": {
            "message": f"(#{code}) {message}",
            "type": "OAuthException",
            "code": code,
            "error_data": {"messaging_product": "whatsapp", "details": message},
            "fbtrace_id": "AStandIn",
        }
    }


def check_message(body: Any) -> None:
    """Take a text message, or say what is wrong with it."""
    if not isinstance(body, dict):
        raise Wrong(100, "Invalid parameter: the body is no object")
    _fields("", body, MESSAGE)
    if body["messaging_product"] != "whatsapp":
        raise Wrong(100, "Param messaging_product must be one of {WHATSAPP}")
    if body.get("recipient_type", "individual") != "individual":
        raise Wrong(100, "Param recipient_type must be one of {INDIVIDUAL}")
    if body["type"] != "text":
        raise Wrong(131051, "this stand-in takes text alone")
    if "to" not in body and "recipient" not in body:
        raise Wrong(100, "The parameter to is required.")
    if "to" in body and not NUMBER.fullmatch(body["to"]):
        raise Wrong(131009, "to is no phone number")
    if "recipient" in body and not PERSON.fullmatch(body["recipient"]):
        raise Wrong(131009, "recipient is no business-scoped user id")
    _fields("text", body["text"], TEXT)
    if not 1 <= len(body["text"]["body"]) <= 4096:
        raise Wrong(100, "Param text['body'] must be 1 to 4096 characters long.")
    if "context" in body:
        _fields("context", body["context"], CONTEXT)
        if not WAMID.fullmatch(body["context"]["message_id"]):
            raise Wrong(131009, "context.message_id is no wamid")
    if len(body.get("biz_opaque_callback_data", "")) > 512:
        raise Wrong(100, "biz_opaque_callback_data is longer than 512 characters")


def _fields(where: str, found: dict[str, Any], known: Fields) -> None:
    for name, value in found.items():
        if name not in known:
            raise Wrong(100, f'Unexpected key "{name}" on param "{where}"')
        if not isinstance(value, known[name][0]):
            raise Wrong(100, f"Param {where}['{name}'] must be a {known[name][0].__name__}")
    for name, (_, required) in known.items():
        if required and name not in found:
            raise Wrong(131008, f"The parameter {where}['{name}'] is required.")
