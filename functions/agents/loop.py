"""The loop of one turn: recall, ask the model, use its tools, until it answers or hands over."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from functions.agents.desk import Desk
from functions.agents.model import Answer, Model, ModelAway
from functions.agents.prompt import asked, conversation_so_far
from functions.agents.recall import recall
from functions.agents.tools import (
    HAND_OVER,
    TOOLS,
    HandOver,
    ToolFault,
    parsed,
    passages_text,
    products_text,
    use,
)
from runtime import Budget, Context
from runtime.errors import BudgetSpent, ProviderBusy
from state.budgets import CONVERSATION, DAY, RUN
from state.rules.receipts import complaint, unsupported

RESULT_LIMIT = 6000
"""Characters of one tool's result that the model reads."""
TRACE_LIMIT = 400


@dataclass
class Turned:
    """How the loop ended: with words for the shopper, or with a person."""

    text: str | None = None
    hand_over: str | None = None
    """Why a person goes on; None: nobody has to."""
    model: str = ""
    rounds: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    trace: list[dict[str, Any]] = field(default_factory=list)
    evidence: list[str] = field(default_factory=list)
    """What facts may be taken from: everything that was recalled or returned in this turn."""


async def turn(ctx: Context, desk: Desk, model: Model) -> Turned:
    """Run one turn.

    Raises:
        ModelAway: the model gave no answer; the runtime tries again.
        ModelRefused: it will not; the text says why.
        Snooze: its provider lets it be asked later; the steps done are not repeated then.
    """
    turned = Turned(model=model.name)
    question = asked(desk.new)
    messages = conversation_so_far(desk)
    turned.evidence.append(desk.agent.instructions or "")
    if desk.agent.knows:
        known = await _recalled(ctx, desk, turned, question)
        messages.insert(1, {"role": "system", "content": known})
    began = time.monotonic()
    while turned.hand_over is None:
        if problem := _exhausted(desk, turned, began):
            turned.hand_over = problem
            break
        try:
            answer = await _ask(ctx, desk, model, messages, turned, began)
        except ModelAway:
            # Asked again it would have as little time, and the shopper has waited long enough.
            turned.hand_over = _late(desk, began)
            if turned.hand_over is None:
                raise
            break
        except BudgetSpent as spent:
            turned.hand_over = _spent(desk, spent.scope)
            break
        except ProviderBusy as busy:
            turned.hand_over = f"{busy}: longer than the agent may take"
            break
        messages.append(answer.message())
        if not answer.calls:
            _conclude(turned, answer)
            wrong = _checked(desk, turned)
            if not wrong:
                break
            messages.append({"role": "system", "content": wrong})
            continue
        for call in answer.calls:
            if call.name == HAND_OVER:
                turned.hand_over = _reason(call.arguments)
            result = await _use(ctx, desk, call.name, call.arguments, turned)
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
    return turned


async def _recalled(ctx: Context, desk: Desk, turned: Turned, question: str) -> str:
    """Return what is known of the question before anybody asks a tool."""
    began = time.monotonic()
    found = await recall(ctx, question)
    products = products_text(found.products, desk.agent.currency)
    text = f"{products}\n\n{passages_text(found.passages)}"
    turned.evidence.append(text)
    turned.trace.append(
        {
            "kind": "recall",
            "products": [one.name for one in found.products],
            "passages": [one.title for one in found.passages],
            "degraded": found.degraded,
            "ms": _ms(began),
        }
    )
    return f"What the shop knows that may fit:\n{text}"


async def _ask(
    ctx: Context,
    desk: Desk,
    model: Model,
    messages: Sequence[dict[str, Any]],
    turned: Turned,
    turn_began: float,
) -> Answer:
    turned.rounds += 1
    began = time.monotonic()
    left = desk.agent.seconds - (began - turn_began)
    seconds = max(1.0, min(left, ctx.seconds_left() - 5))

    # An answer that an earlier attempt paid for is no answer to what was written since then.
    newest = max(one.message_id for one in desk.new)
    name = f"model:{newest}:{turned.rounds}"

    async def call() -> Answer:
        if model.provider is None:
            return await model.answer(messages, TOOLS, seconds)
        tokens = model.most_tokens(messages, TOOLS)
        waited = (ctx.now() - ctx.asked_at).total_seconds()
        patience = desk.agent.seconds - waited
        async with (
            ctx.asking(name, model.provider, tokens=tokens, patience_seconds=patience) as asking,
            ctx.spending(name, tokens=tokens, within=_budgets(desk)) as spending,
        ):
            answered = await model.answer(messages, TOOLS, seconds)
            for reserved in (asking, spending):
                reserved.settle(answered.input_tokens + answered.output_tokens)
            return answered

    answer = Answer.model_validate(await ctx.step(name, call))
    turned.input_tokens += answer.input_tokens
    turned.output_tokens += answer.output_tokens
    turned.trace.append(
        {
            "kind": "model",
            "finish": answer.finish,
            "calls": [one.name for one in answer.calls],
            "tokens": answer.input_tokens + answer.output_tokens,
            "ms": _ms(began),
        }
    )
    return answer


async def _use(ctx: Context, desk: Desk, name: str, arguments: str, turned: Turned) -> str:
    began = time.monotonic()
    try:
        if name == HAND_OVER:
            result = "a person goes on from here"
        else:
            result = await use(ctx, name, arguments, desk.agent.currency)
            turned.evidence.append(result)
    except ToolFault as fault:
        result = f"error: {fault}"
    turned.trace.append(
        {
            "kind": "tool",
            "name": name,
            "arguments": arguments[:TRACE_LIMIT],
            "result": result[:TRACE_LIMIT],
            "ms": _ms(began),
        }
    )
    return result[:RESULT_LIMIT]


def _conclude(turned: Turned, answer: Answer) -> None:
    text = answer.text.strip()
    if answer.finish == "content_filter" or not text:
        turned.hand_over = "the model gave no answer"
    elif answer.finish == "length":
        raise ModelAway("the answer is longer than the model may write")
    else:
        turned.text = text


def _checked(desk: Desk, turned: Turned) -> str | None:
    """Compare the answer with its evidence; returns what the model has to put right, once.

    No invented fact reaches a shopper: an answer that is wrong twice becomes a person's.
    """
    if turned.text is None:
        return None
    shopper = [one.body or "" for one in (*desk.earlier, *desk.new) if one.direction == "in"]
    found = unsupported(turned.text, turned.evidence, shopper)
    seen = any(step["kind"] == "check" for step in turned.trace)
    facts = [f"{one.kind} {one.text}" for one in found]
    if found or seen:
        turned.trace.append({"kind": "check", "unsupported": facts, "ms": 0})
    if not found:
        return None
    turned.text = None
    if seen:
        turned.hand_over = f"the answer stated what nothing supports: {', '.join(facts)}"
        return None
    return complaint(found)


def _exhausted(desk: Desk, turned: Turned, began: float) -> str | None:
    """Return which limit is used up, in words; None: none is."""
    if turned.rounds >= desk.agent.rounds:
        return f"the agent used its {desk.agent.rounds} rounds without an answer"
    return _late(desk, began)


def _budgets(desk: Desk) -> list[Budget]:
    """Return what an answer has to fit in."""
    agent = desk.agent
    found = [Budget(RUN, agent.tokens), Budget(DAY, agent.tokens_per_day)]
    if agent.tokens_per_conversation is not None:
        chat = desk.conversation.conversation_id
        found.append(Budget(CONVERSATION, agent.tokens_per_conversation, chat))
    return found


def _spent(desk: Desk, scope: str) -> str:
    """Return which budget has no room for another answer, in words."""
    agent = desk.agent
    most, whose = {
        RUN: (agent.tokens, "the agent's {:,} tokens for one turn"),
        CONVERSATION: (agent.tokens_per_conversation or 0, "this conversation's {:,} tokens today"),
        DAY: (agent.tokens_per_day, "the shop's {:,} tokens of today"),
    }[scope]
    return f"what is left of {whose.format(most)} is too little for another answer"


def _late(desk: Desk, began: float) -> str | None:
    """Return that the turn took too long, in words; None: there is time."""
    if time.monotonic() - began < desk.agent.seconds:
        return None
    return f"the agent took longer than {desk.agent.seconds} s"


def _reason(arguments: str) -> str:
    try:
        asked_for: HandOver = parsed(HandOver, arguments)
    except ToolFault:
        return "the agent asked for a person"
    return " — ".join(filter(None, (asked_for.reason.strip(), asked_for.summary.strip())))[:500]


def _ms(began: float) -> int:
    return round((time.monotonic() - began) * 1000)
