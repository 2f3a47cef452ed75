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

_EMAIL = f"regexp_extract(value, {literal(f'^(?:{EMAIL})$')}, 1)"

MEANT_EMAILS = Meant(
    after=f"CASE WHEN {EMAIL_LIKE} THEN lower({_EMAIL}) END",
    left="'no email address'",
)


def _url_part(number: int) -> str:
    return f"regexp_extract(value, {literal(f'^{URL}$')}, {number})"


_SCHEME = f"coalesce(nullif(lower({_url_part(1)}), ''), 'https')"
_PORT = f"""
    CASE WHEN {_SCHEME} || {_url_part(3)} IN ('https:443', 'http:80') THEN ''
    ELSE {_url_part(3)} END"""
_PATH = f"CASE WHEN {_url_part(4)} = '/' THEN '' ELSE {_url_part(4)} END"

MEANT_URLS = Meant(
    after=f"""
        CASE WHEN {URL_LIKE} THEN {_SCHEME} || '://' || lower({_url_part(2)}) || {_PORT} || {_PATH}
        END""",
    left="'no URL'",
)
