"""What became of backups, as the audit log has it: in one run, and since when something waits.

Who writes it there is run.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import NamedTuple

from outreach_assets.steps.backups.back_up import Outcome
from outreach_assets.steps.backups.run import BACKUP_RUN
from outreach_core.postgres import Postgres

OF_RUN = """
    SELECT DISTINCT ON (details ->> 'folder_id', details ->> 'destination') details
    FROM shq.audit_log WHERE event_type = %s AND details ->> 'run_id' = %s
    ORDER BY details ->> 'folder_id', details ->> 'destination', id DESC"""

# Since the first attempt after the last one that brought everything there.
WAITING = """
    WITH ended AS (
      SELECT id, details ->> 'folder_id' AS folder_id, details ->> 'destination' AS destination,
             (details ->> 'at')::timestamptz AS at, (details ->> 'is_done')::boolean AS is_done
      FROM shq.audit_log WHERE event_type = %s AND details ? 'at'
    ), whole AS (
      SELECT folder_id, destination, max(id) AS id FROM ended WHERE is_done
      GROUP BY folder_id, destination
    )
    SELECT folder_id, destination, min(ended.at)
    FROM ended JOIN shq.sync_folders AS policy USING (folder_id)
    LEFT JOIN whole USING (folder_id, destination)
    WHERE policy.enabled AND destination = ANY (policy.destinations)
      AND ended.id > coalesce(whole.id, 0)
    GROUP BY folder_id, destination ORDER BY min(ended.at)"""


class Waiting(NamedTuple):
    """A policy that is not wholly at a destination."""

    folder_id: str
    destination: str
    since: datetime


def outcomes_of_run(postgres: Postgres, run_id: str) -> list[Outcome]:
    """What became of each policy and destination when the run tried it last."""
    with postgres.connect() as connection:
        rows = connection.execute(OF_RUN, (BACKUP_RUN, run_id)).fetchall()
    return [_outcome(details) for (details,) in rows]


def waiting_policies(postgres: Postgres) -> Sequence[Waiting]:
    """Enabled policies that were tried since everything of them was last at a destination."""
    with postgres.connect() as connection:
        return [Waiting(*row) for row in connection.execute(WAITING, (BACKUP_RUN,))]


def _outcome(details: Mapping[str, object]) -> Outcome:
    names = [field.name for field in fields(Outcome)]
    return Outcome(**{name: details[name] for name in names if name in details})  # type: ignore[arg-type]  # as it was written
