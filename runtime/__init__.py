"""Declare functions here: everything a handler file needs, and nothing that opens anything."""

from runtime.context import Context
from runtime.errors import Cancel, ChildFailed, Snooze
from runtime.event import Event
from runtime.function import Function, function
from runtime.limits import Concurrency, Rate
from runtime.policy import Merge, Process, Retry, Scale, Steer, Supersede
from runtime.providers import Provider
from runtime.trigger import Cron, Webhook
from runtime.webhook import Delivery
from state.budgets import Budget

__all__ = [
    "Budget",
    "Cancel",
    "ChildFailed",
    "Concurrency",
    "Context",
    "Cron",
    "Delivery",
    "Event",
    "Function",
    "Merge",
    "Process",
    "Provider",
    "Rate",
    "Retry",
    "Scale",
    "Snooze",
    "Steer",
    "Supersede",
    "Webhook",
    "function",
]
