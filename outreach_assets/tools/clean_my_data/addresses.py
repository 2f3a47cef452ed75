"""Email addresses and URLs written in one way: SQL over a column's values."""

from outreach_assets.tools.clean_my_data.meant import Meant
from outreach_assets.tools.reading.columns import literal

EMAIL = r"(?i:mailto:)?\s*<?\s*([^@\s<>;,:]+@[^@\s<>;,:.]+(?:\.[^@\s<>;,:.]+)+)\s*>?\s*[;,.]*"
EMAIL_LIKE = f"regexp_full_match(value, {literal(EMAIL)})"

URL = (
    r"(?:((?i:https?|ftp))://)?((?:[^\s/?#:@.,<>]+\.)+[^\s/?#:@.,<>]{2,})(:[0-9]{1,5})?"
    r"([/?#][^\s]*)?"
)
URL_LIKE = f"regexp_full_match(value, {literal(URL)})"
HAS_SCHEME = "regexp_matches(value, '^(?i:https?://|ftp://|www\\.)')"

MEANT_EMAILS = Meant(
    after=f"nullif(lower(regexp_extract(value, {literal(f'^(?:{EMAIL})$')}, 1)), '')",
    left="'no email address'",
)


def meant_urls(table: str) -> Meant:
    """How the table's values are URLs."""
    parts = "['scheme', 'host', 'port', 'path']"
    scheme = "coalesce(nullif(lower(url.scheme), ''), 'https')"
    return Meant(
        after=f"""
            CASE WHEN url.host <> '' THEN {scheme} || '://' || lower(url.host)
            || CASE WHEN {scheme} || url.port IN ('https:443', 'http:80') THEN ''
                ELSE url.port END
            || CASE WHEN url.path = '/' THEN '' ELSE url.path END END""",
        left="'no URL'",
        relation=f"""
            (SELECT value, regexp_extract(value, {literal(f"^(?:{URL})$")}, {parts}) AS url
            FROM {table})""",
    )
