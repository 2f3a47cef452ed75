"""How things stand, for the alerts: each state by its audit rows, and every sentence made clean.

What Dagster knows beside that (runs, checks, freshness) is read in sensors/alerts.py.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from outreach_assets.steps.alerts.causes import Kind, Sighting, Trouble
from outreach_assets.steps.record import Status
from outreach_core.audit import SOURCE, VALIDATION_RUN
from outreach_core.postgres import Postgres

LOOK_BACK = "30 days"
"""A state's newest row is searched this far back; a nightly refresh writes one a day."""

SENTENCE_LETTERS = 500
AN_ADDRESS = re.compile(r"[^\s@,;:<>()'\"]+@[^\s@,;:<>()'\"]+")
A_PHONE = re.compile(r"\+\d[\d ()-]{6,}\d")

KINDS = {Status.HELD: Kind.HELD, Status.FAILED: Kind.FAILED, Status.KILLED: Kind.FAILED}
WELL = (Status.PUBLISHED, Status.UNCHANGED)
"""A state that was only judged, or whose run somebody cancelled, is neither well nor ill."""

NEWEST = f"""
    SELECT DISTINCT ON (details ->> 'state') details ->> 'state', details ->> 'status',
        details ->> 'run_id', details ->> 'end_time', details ->> 'error'
    FROM shq.audit_log
    WHERE event_type = %s AND event_source = %s AND created_at > now() - interval '{LOOK_BACK}'
      AND details ->> 'status' = ANY(%s)
    ORDER BY details ->> 'state', id DESC"""

# A run that is open in a state will have its row there: written by itself, or by who finds it dead.
RECORDED = f"""
    SELECT details ->> 'run_id', details ->> 'state', details ->> 'status' FROM shq.audit_log
    WHERE event_type = %s AND created_at > now() - interval '{LOOK_BACK}'
      AND details ->> 'run_id' = ANY(%s)
    UNION ALL
    SELECT run_id, state, 'open' FROM shq.open_runs WHERE run_id = ANY(%s)"""


def state_cause(state: str) -> str:
    """One cause for a state: it is held, it failed, or it is well."""
    return f"state:{state}"


def run_link(run_id: str) -> str:
    """The run's page."""
    return f"runs/{run_id}"


def state_sightings(postgres: Postgres) -> list[Sighting]:
    """How each state ended in the newest run that says whether it is well."""
    wanted = (VALIDATION_RUN, SOURCE, [*KINDS, *WELL])
    with postgres.connect() as connection:
        rows = connection.execute(NEWEST, wanted).fetchall()
    return [
        Sighting(
            cause=state_cause(state),
            at=datetime.fromisoformat(ended),
            link=run_link(run_id),
            trouble=None
            if status in WELL
            else Trouble(kind=KINDS[Status(status)], place=state, sentence=error or status),
        )
        for state, status, run_id, ended, error in rows
    ]


def recorded_statuses(postgres: Postgres, run_ids: Sequence[str]) -> dict[tuple[str, str], str]:
    """By run and state, how the audit log says it ended; `open` where it will say so yet."""
    ids = list(run_ids)
    with postgres.connect() as connection:
        rows = connection.execute(RECORDED, (VALIDATION_RUN, ids, ids)).fetchall()
    return {(run_id, state): status for run_id, state, status in rows}


def cleaned(sightings: Iterable[Sighting], secrets: Iterable[str]) -> list[Sighting]:
    """The same on one line each, of bounded length, without secrets, mail addresses or phones.

    The sentences of this project hold none; those of a library that failed might.
    """
    hidden = sorted(filter(None, secrets), key=len, reverse=True)
    return [
        replace(s, trouble=replace(s.trouble, sentence=_clean(s.trouble.sentence, hidden)))
        if s.trouble
        else s
        for s in sightings
    ]


def _clean(sentence: str, secrets: Sequence[str]) -> str:
    for secret in secrets:
        sentence = sentence.replace(secret, "***")
    sentence = A_PHONE.sub("***", AN_ADDRESS.sub("***", " ".join(sentence.split())))
    if len(sentence) <= SENTENCE_LETTERS:
        return sentence
    return sentence[: SENTENCE_LETTERS - 1] + "…"
