"""All tables, in the order they are loaded: companies first, people find their state there."""

from outreach_assets.tables.companies import COMPANIES
from outreach_assets.tables.people import PEOPLE

TABLES = (COMPANIES, PEOPLE)
