"""Which model answers for a shop."""

from functions.agents.demo_model import DemoModel
from functions.agents.desk import Desk
from functions.agents.model import Model
from functions.agents.openai_model import OpenAIModel
from runtime import Context
from runtime.settings import Settings

OPENAI = "https://api.openai.com/v1"
PURPOSE, NAME = "openai", "key"


async def choose(ctx: Context, desk: Desk) -> Model:
    """Return the shop's model: by its own key, by ours, or the demo model without any.

    A server of one's own (OPENAI_BASE_URL) may need no key.

    Raises:
        CredentialSealed: the shop's key is there and does not open.
    """
    settings = ctx.settings
    key = await ctx.secret(PURPOSE, NAME) or _ours(settings)
    if key is None and settings.openai_base_url == OPENAI:
        return DemoModel(desk)
    return OpenAIModel(settings, desk.agent.model or settings.openai_model, key or "")


def _ours(settings: Settings) -> str | None:
    return settings.openai_api_key.get_secret_value() if settings.openai_api_key else None
