"""Which model answers for a shop."""

from functions.agents.demo_model import DemoModel
from functions.agents.desk import Desk
from functions.agents.model import Model, ModelRefused
from functions.agents.openai_model import OpenAIModel
from runtime import Context
from runtime.settings import OPENAI
from state.channels import SANDBOX
from state.providers import Limits

NO_KEY = (
    "no model answers on a number of the shop: there is no key. Set OPENAI_API_KEY, or the shop's"
    " own with `nexus agents set --shop NAME --model-key-file FILE`"
)


def choose(ctx: Context, desk: Desk) -> Model:
    """Return the shop's model: by its own key, or by ours; on a simulated phone, the demo model.

    A server of one's own (OPENAI_BASE_URL, or the shop's) may need no key. The shop's own server
    never gets the installation's key.

    Raises:
        CredentialSealed: the shop's key is there and does not open.
        ModelRefused: there is no key; the demo model talks to nobody who really shops.
    """
    settings, agent = ctx.settings, desk.agent
    ours = None if agent.base_url else settings.openai_api_key
    key = ours.get_secret_value() if ours else None
    if desk.key is not None:
        key = ctx.open(desk.key)
    address = agent.base_url or settings.openai_base_url
    if key is None and address == OPENAI:
        if desk.channel.kind != SANDBOX:
            raise ModelRefused(NO_KEY)
        return DemoModel(desk)
    limits = Limits()
    if desk.key is None and agent.base_url is None:
        limits = Limits(settings.openai_requests_per_minute, settings.openai_tokens_per_minute)
    return OpenAIModel(settings, agent.model or settings.openai_model, key or "", address, limits)
