"""What kind of values a column has, by how many of its different values are such, and its name."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from outreach_assets.steps.private_duckdb import Duck
from outreach_assets.tools.clean_my_data import addresses, dates, numbers, phones, states
from outreach_assets.tools.clean_my_data.agents import Agent
from outreach_assets.tools.clean_my_data.manifest import CleanParameters
from outreach_assets.tools.clean_my_data.meant import Meant

STATE_NAMED = re.compile(r"\b(states?|provinces?|regions?)\b")
PHONE_NAMED = re.compile(r"\b(\w*phones?|mobile|cell|fax|tel)\b")
URL_NAMED = re.compile(r"\b(urls?|websites?|sites?|homepage|links?|linkedin)\b")
NO_QUANTITY = re.compile(r"\b(ids?|keys?|codes?|zip\w*|postal|number|no|\w*phones?|fax|year)\b")
"""Columns of digits that nobody sums up: none of them is an outlier."""

MOSTLY = 0.5
SAMPLE = 20_000
"""Of more different values than twice this, some are looked at: always the same ones."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A column's kind, and which share of its different values is of it."""

    agent: Agent
    share: float


def kind_of(duck: Duck, table: str, name: str, parameters: CleanParameters) -> Kind | None:
    """The kind of the table's values, a column called `name`; None when they are just text.

    It does not depend on which agents are chosen.
    """
    likes = {
        Agent.DATES: dates.LIKE,
        Agent.EMAILS: addresses.EMAIL_LIKE,
        Agent.URLS: addresses.URL_LIKE,
        Agent.PHONES: phones.LIKE,
        Agent.STATES: states.LIKE,
        Agent.NUMBERS: numbers.LIKE,
    }
    counted = [*likes.values(), addresses.HAS_SCHEME, phones.IS_PUNCTUATED]
    counts = ", ".join(f"count(*) FILTER ({one})" for one in counted)
    rows = duck.execute(f"SELECT count(*) FROM {table}").fetchone() or (0,)
    sample = f"{table} WHERE hash(value) % {max(rows[0] // SAMPLE, 1)} = 0"
    total, *found = duck.execute(f"SELECT count(*), {counts} FROM {sample}").fetchone() or (0,)
    if not total:
        return None
    *by_kind, with_scheme, punctuated = (count / total for count in found)
    shares = dict(zip(likes, by_kind, strict=True))
    words = in_words(name)
    if not STATE_NAMED.search(words):
        shares[Agent.STATES] = 0
    if not URL_NAMED.search(words) and with_scheme <= MOSTLY:
        shares[Agent.URLS] = 0
    if shares[Agent.PHONES] >= parameters.evidence:
        is_known = PHONE_NAMED.search(words) or punctuated > MOSTLY
        region = parameters.phone_region
        shares[Agent.PHONES] = phones.share_of_phones(duck, table, region) if is_known else 0
    for agent, share in shares.items():
        if share >= parameters.evidence:
            return Kind(agent=agent, share=round(share, 4))
    return None


def in_words(name: str) -> str:
    """A column's name as words: `billingState` and `billing_state` as `billing state`."""
    parted = re.sub(r"([a-z])([A-Z])", r"\1 \2", name)
    return re.sub(r"[^a-z0-9]+", " ", parted.lower())


def meant_by(
    duck: Duck, table: str, agent: Agent, parameters: CleanParameters, folder: Path
) -> Meant:
    """How values of the agent's kind are written."""
    meant: dict[Agent, Callable[[], Meant]] = {
        Agent.DATES: lambda: dates.meant_dates(duck, table, parameters.date_order),
        Agent.NUMBERS: lambda: numbers.meant_numbers(duck, table),
        Agent.PHONES: lambda: phones.meant_phones(duck, table, parameters.phone_region, folder),
        Agent.EMAILS: lambda: addresses.MEANT_EMAILS,
        Agent.URLS: lambda: addresses.meant_urls(table),
        Agent.STATES: lambda: states.MEANT_STATES,
    }
    return meant[agent]()
