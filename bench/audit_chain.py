"""What the audit log's chain costs whoever writes to it, and how long it takes to judge.

    .venv/bin/python bench/audit_chain.py [rows]

An embedded PostgreSQL of its own. Each batch is written with the chain's triggers and without
them, best of five; then so many rows (200,000) are added, judged once, and the speed is printed.
"""

import sys
import tempfile
import time
from pathlib import Path

BATCHES = (57, 1000)
ROUNDS = 5
FILL = """
    INSERT INTO shq.audit_log (event_type, event_source, details)
    SELECT 'outreach_validation_run', 'outreach_workbench', jsonb_build_object(
        'run_id', gen_random_uuid(), 'state', 'WV', 'status', 'published', 'companies_good', i,
        'companies_bad', i, 'people_good', i, 'people_bad', 3, 'parquet_paths', array[
            'outreach/wv/companies/good/companies_good_20260504030201.parquet',
            'outreach/wv/companies/bad/companies_bad_20260504030201.parquet'])
    FROM generate_series(1, %s) AS i"""
AT_ONCE = 20_000


def main() -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from outreach_core.audit_chain import check_chain  # noqa: PLC0415 after the path
    from outreach_core.embedded_postgres import EmbeddedPostgres  # noqa: PLC0415
    from outreach_core.migrate import migrate  # noqa: PLC0415

    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    with tempfile.TemporaryDirectory() as folder, EmbeddedPostgres(Path(folder) / "pg") as server:
        postgres = server.ensure_running()
        migrate(postgres)
        for count in BATCHES:
            plain, chained = (written(postgres, count, chain=chain) for chain in (False, True))
            print(f"{count:5} events {plain * 1000:7.1f} ms, chained {chained * 1000:7.1f} ms")
        began = time.perf_counter()
        for _ in range(rows // AT_ONCE):
            with postgres.connect() as connection:
                connection.execute(FILL, (AT_ONCE,))
        filled = time.perf_counter() - began
        began = time.perf_counter()
        report = check_chain(postgres)
        judged = time.perf_counter() - began
        print(f"{report.rows:,} rows: {filled:.1f} s to add, {judged:.1f} s to judge")


def written(postgres, count: int, *, chain: bool) -> float:  # noqa: ANN001 imported late
    """Seconds for a batch as steps/record.py writes it, in a transaction that is rolled back."""
    from outreach_core.audit import AuditEvent, write_events  # noqa: PLC0415

    event = AuditEvent(event_type="bench", event_source="bench", details={"state": "WV", "n": 1})
    best = float("inf")
    for _ in range(ROUNDS):
        with postgres.connect() as connection:
            if not chain:
                connection.execute("ALTER TABLE shq.audit_log DISABLE TRIGGER USER")
            began = time.perf_counter()
            write_events(connection, [event] * count)
            best = min(best, time.perf_counter() - began)
            connection.rollback()
    return best


if __name__ == "__main__":
    main()
