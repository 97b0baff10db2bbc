"""What the agent says when it does not answer by itself, in the shop's language."""

HANDING_OVER = {
    "es": "Gracias por escribirnos. Te responde una persona de nuestro equipo en cuanto pueda.",
    "pt": "Obrigado pela mensagem. Uma pessoa da nossa equipe responde assim que puder.",
    "en": "Thank you for your message. Somebody of our team will answer as soon as possible.",
}
