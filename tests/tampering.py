"""What whoever owns the database can do to the audit log: the triggers off, the rows at hand.

Also how tests make a past: events of days that are over, in a chain that is whole.
"""

from collections.abc import Sequence

from outreach_core.audit import AuditEvent, write_events
from outreach_core.postgres import Postgres

TRIGGERS = "ALTER TABLE shq.audit_log {} TRIGGER USER"
REHASH = """
DO $$
DECLARE
  link record; before text; computed text;
BEGIN
  PERFORM set_config('timezone', 'UTC', true);
  SELECT row_hash INTO before FROM shq.audit_log WHERE chain_position = {first} - 1;
  before := coalesce(before, repeat('0', 64));
  FOR link IN SELECT id FROM shq.audit_log WHERE chain_position BETWEEN {first} AND {last}
      ORDER BY chain_position LOOP
    UPDATE shq.audit_log SET previous_hash = before WHERE id = link.id;
    SELECT encode(sha256(convert_to((to_jsonb(l) - 'row_hash')::text, 'UTF8')), 'hex')
      INTO computed FROM shq.audit_log AS l WHERE id = link.id;
    UPDATE shq.audit_log SET row_hash = computed WHERE id = link.id;
    before := computed;
  END LOOP;
  UPDATE shq.audit_head SET position = l.chain_position, hash = l.row_hash
    FROM (SELECT * FROM shq.audit_log WHERE chain_position IS NOT NULL
      ORDER BY chain_position DESC LIMIT 1) AS l;
END $$"""


def tamper(postgres: Postgres, *statements: str) -> None:
    """Run these as the superuser that the tests are, with the triggers off meanwhile."""
    with postgres.connect() as connection:
        for statement in (TRIGGERS.format("DISABLE"), *statements, TRIGGERS.format("ENABLE")):
            connection.execute(statement.encode())


def rehash(first: int, last: int = 2**62) -> str:
    """The statement that computes the chain anew from a position on, its head included."""
    return REHASH.format(first=first, last=last)


def given_events(postgres: Postgres, count: int, event_type: str = "test_event") -> None:
    """So many events with a number each, the first of them 1."""
    events = [
        AuditEvent(event_type=event_type, event_source="test", details={"number": n + 1})
        for n in range(count)
    ]
    with postgres.connect() as connection:
        write_events(connection, events)


def given_days(postgres: Postgres, rows: Sequence[int]) -> None:
    """The chain as if so many of its first rows were of 2026-01-01, of the next day, and so on."""
    last, moves = 0, []
    for day, count in enumerate(rows, 1):
        moves.append(
            f"UPDATE shq.audit_log SET chained_at = '2026-01-{day:02}T12:00:00Z' "
            f"WHERE chain_position BETWEEN {last + 1} AND {last + count}"
        )
        last += count
    tamper(postgres, *moves, rehash(1))
