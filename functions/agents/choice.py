"""Which model answers for a shop."""

from functions.agents.demo_model import DemoModel
from functions.agents.desk import Desk
from functions.agents.model import Model
from functions.agents.openai_model import OpenAIModel
from runtime import Context

OPENAI = "https://api.openai.com/v1"


def choose(ctx: Context, desk: Desk) -> Model:
    """Return the shop's model: by its own key, by ours, or the demo model without any.

    A server of one's own (OPENAI_BASE_URL) may need no key.

    Raises:
        CredentialSealed: the shop's key is there and does not open.
    """
    settings, ours = ctx.settings, ctx.settings.openai_api_key
    key = ours.get_secret_value() if ours else None
    if desk.key is not None:
        key = ctx.open(desk.key)
    if key is None and settings.openai_base_url == OPENAI:
        return DemoModel(desk)
    return OpenAIModel(settings, desk.agent.model or settings.openai_model, key or "")
