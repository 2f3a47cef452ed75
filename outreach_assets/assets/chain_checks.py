"""What must be true of the chain on every run: the checks, and what breaks them.

The op in tables.py says how they came out. A state that trips a kill switch (BAD_SHARE,
ROW_CHANGE, KEYS) or breaks ROWS is held, so all of these stand between a wrong row and the bucket.
"""

from collections.abc import Mapping, Sequence

import dagster as dg

from outreach_assets.assets.chain import MANIFEST, judged_key, parquet_key, raw_key
from outreach_assets.steps.extract import ExtractedTable
from outreach_assets.steps.kill_switches import Switch, Tripped
from outreach_assets.steps.validate import StateVerdict
from outreach_assets.tables.catalogue import TABLES
from outreach_assets.tables.companies import COMPANIES
from outreach_assets.tables.table import Table, Verdict

BAD_SHARE = "few_are_bad"
ROW_CHANGE = "row_count_moved_little"
KEYS = "keys_are_present_and_unique"
NUMBERS = "every_number_arrived"
ROWS = "every_row_is_good_or_bad"
COLUMNS = "columns_are_the_sources"
BYTES = "published_bytes_are_the_exported_ones"
WARNINGS = {NUMBERS}
"""What is to be looked at, and keeps nothing from being published."""


def chain_checks() -> list[dg.AssetCheckSpec]:
    """Every check of the chain."""
    checks = []
    for table in TABLES:
        checks += [
            dg.AssetCheckSpec(
                KEYS,
                asset=raw_key(table),
                blocking=True,
                description=f"Kill switch K3: every row has its {table.key}, and no other row has "
                "it too.",
            ),
            dg.AssetCheckSpec(
                ROW_CHANGE,
                asset=raw_key(table),
                blocking=True,
                description="Kill switch K2: against the last published snapshot, the rows are "
                "not more or fewer by more than OUTREACH_MAX_ROW_CHANGE.",
            ),
            dg.AssetCheckSpec(
                NUMBERS,
                asset=raw_key(table),
                description="No numeric value was NaN or infinite; one that was is NULL now.",
            ),
            dg.AssetCheckSpec(
                ROWS,
                asset=judged_key(table, Verdict.GOOD),
                blocking=True,
                description="raw = good + bad, by count and by key hash: never both or neither.",
            ),
            dg.AssetCheckSpec(
                COLUMNS,
                asset=parquet_key(table, Verdict.GOOD),
                blocking=True,
                description="The files hold the judged rows and exactly the source's columns, and "
                "a bad file the reasons as well; the run fails before uploading otherwise.",
            ),
        ]
    checks += [
        dg.AssetCheckSpec(
            BAD_SHARE,
            asset=judged_key(COMPANIES, Verdict.BAD),
            blocking=True,
            description="Kill switch K1: at most OUTREACH_MAX_BAD_SHARE of a state's companies "
            "are bad.",
        ),
        dg.AssetCheckSpec(
            BYTES,
            asset=MANIFEST,
            blocking=True,
            description="The store's own answer on every published file: its size and sha256 are "
            "those of the exported one.",
        ),
    ]
    return checks


def switch_problems(
    tripped: Mapping[str, Sequence[Tripped]], switch: Switch, table: Table
) -> dict[str, str]:
    """By state, by what this switch was tripped."""
    return {
        state: "; ".join(
            one.says for one in found if (one.switch, one.table) == (switch, table.name)
        )
        for state, found in tripped.items()
        if any((one.switch, one.table) == (switch, table.name) for one in found)
    }


def row_problems(judged: Mapping[str, StateVerdict]) -> dict[str, str]:
    """By state, the counts that do not add up."""
    return {
        state: f"{v.raw.rows} raw, {v.good.rows} good, {v.bad.rows} bad"
        for state, v in judged.items()
        if not v.adds_up
    }


def number_problems(extracted: ExtractedTable) -> dict[str, str]:
    """By state, the numeric values that were NaN."""
    return {state: f"{n} NaN became NULL" for state, n in extracted.not_finite.items()}
