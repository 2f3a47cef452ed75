"""All tables, in the order they are loaded: companies first, people find their state there."""

from dataclasses import replace

from outreach_assets.tables.companies import COMPANIES
from outreach_assets.tables.people import COMPANY_NOT_VALID, PEOPLE
from outreach_assets.tables.table import Severity, Table, fingerprint

TABLES = (COMPANIES, PEOPLE)
"""With every rule's own severity. Names, keys and columns are the same whatever the settings say;
who judges rows or shows severities takes `tables_for` instead."""


def tables_for(company_not_valid: str) -> tuple[Table, ...]:
    """The tables, people of a bad company judged as OUTREACH_COMPANY_NOT_VALID says."""
    severities = {COMPANY_NOT_VALID: Severity(company_not_valid)}
    return tuple(
        replace(
            table,
            rules=tuple(
                replace(rule, severity=severities.get(rule.name, rule.severity))
                for rule in table.rules
            ),
        )
        for table in TABLES
    )


def tables_judged_by(rules: str) -> tuple[Table, ...] | None:
    """The tables whose rules have this fingerprint, whichever severities were set at the time.

    None where rules have changed since.
    """
    variants = (tables_for(severity) for severity in Severity)
    return next((tables for tables in variants if fingerprint(tables) == rules), None)
