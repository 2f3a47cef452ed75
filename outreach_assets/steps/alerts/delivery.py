"""Tell every channel what it has not been told: the words, and the loop around claim and send.

What one run did to several states is one message. The books are in causes.py, the channels in
channels.py.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from outreach_assets.steps.alerts.causes import Pending, claim, put_off, told
from outreach_assets.steps.alerts.channels import (
    AlertNotSentError,
    AlertRefusedError,
    Channel,
    Message,
)
from outreach_core.postgres import Postgres

REFUSED_SECONDS = 3600
"""A refusal lasts until somebody changes something: asking more often would only be noise."""

MOST_PLACES, MOST_SENTENCES = 8, 12
"""What one message names before it says how many more there are."""


def deliver(
    postgres: Postgres, channels: Iterable[Channel], *, ui_url: str, seconds: float
) -> list[str | None]:
    """Send what each channel has not been told; begins no message after so many seconds.

    Gives None for each message that went out and a sentence for each that did not. One that is
    refused does not keep the others; a channel that is down keeps its own for the next call.
    """
    deadline = time.monotonic() + seconds
    return [
        outcome
        for channel in channels
        if time.monotonic() < deadline
        for outcome in _deliver_to(postgres, channel, ui_url, deadline)
    ]


def _deliver_to(
    postgres: Postgres, channel: Channel, ui_url: str, deadline: float
) -> Iterator[str | None]:
    groups = grouped(claim(postgres, channel.key))
    while groups:
        if time.monotonic() > deadline:
            _give_back(postgres, channel, groups)
            return
        group = groups.pop(0)
        try:
            channel.send(message_of(group, ui_url))
        except AlertRefusedError as error:
            says = str(error)
            put_off(postgres, channel.key, group, seconds=REFUSED_SECONDS, trouble=says)
            yield f"{channel.name}: {says}"
        except AlertNotSentError as error:
            wait, says = error.retry_after_seconds, str(error)
            put_off(postgres, channel.key, group, seconds=wait, trouble=says)
            _give_back(postgres, channel, groups)
            yield f"{channel.name}: {says}"
            return
        else:
            told(postgres, channel.key, group)
            yield None


def _give_back(postgres: Postgres, channel: Channel, groups: Iterable[Sequence[Pending]]) -> None:
    rest = [pending for group in groups for pending in group]
    put_off(postgres, channel.key, rest, seconds=0, trouble=None)


def grouped(pendings: Iterable[Pending]) -> list[list[Pending]]:
    """What goes into one message: the same kind of news from the same run."""

    def news(p: Pending) -> tuple[object, ...]:
        return (p.is_over, p.was_told, p.trouble.kind, p.trouble.subject, p.link)

    groups = [list(group) for _, group in groupby(sorted(pendings, key=news), key=news)]
    return sorted(groups, key=lambda group: group[0].alert_id)


def message_of(group: Sequence[Pending], ui_url: str) -> Message:
    """The words for alerts that are news of the same kind."""
    first = group[0]
    places = _listed([p.trouble.place for p in group], MOST_PLACES)
    what = " ".join(filter(None, [first.trouble.kind, first.trouble.subject]))
    if first.is_over and first.was_told:
        title = f"recovered: {places} (was: {what})"
        says = []
    else:
        news = "recovered since" if first.is_over else "changed" if first.was_told else ""
        title = f"{what}: {places}" + (f" ({news})" if news else "")
        says = _sentences(group)
    lines = [title, *says, f"{ui_url.rstrip('/')}/{first.link}"]
    return Message(title=title, text="\n".join(lines))


def _sentences(group: Sequence[Pending]) -> list[str]:
    """Each sentence once, with the places it is about where there are several."""
    places: dict[str, list[str]] = {}
    for pending in group:
        places.setdefault(pending.trouble.sentence, []).append(pending.trouble.place)
    if len(places) == 1:
        return list(places)
    lines = [f"{_listed(where, MOST_PLACES)}: {says}" for says, where in places.items()]
    return [*lines[:MOST_SENTENCES], *_more(len(lines) - MOST_SENTENCES)]


def _listed(places: Sequence[str], most: int) -> str:
    return ", ".join([*places[:most], *_more(len(places) - most)])


def _more(number: int) -> list[str]:
    return [f"and {number} more"] if number > 0 else []
