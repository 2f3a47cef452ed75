r"""What is cleaned in any text: SQL over the column's value. Whatever it means is in other files.

Each expression takes SQL and gives SQL; NULL stays NULL.
"""

from collections.abc import Sequence

from outreach_assets.tools.harmless import harmless_sql
from outreach_assets.tools.reading.columns import literal

INVISIBLE = r"[\x{00AD}\x{200B}\x{200E}\x{200F}\x{202A}-\x{202E}\x{2060}-\x{2069}\x{FEFF}]"
JOINERS = r"[\x{200C}\x{200D}]"
NEEDS_JOINERS = r"[^\x{0000}-\x{024F}\x{2000}-\x{206F}]"
"""Beyond Latin, joiners hold emoji together and are letters' shapes in Persian and Hindi."""

BLANKS = (9, 10, 12, 13, 32, 160)
r"""What \s and a blank that does not break are, as code points."""

CONTROLS = r"[\x{0000}-\x{0008}\x{000E}-\x{001F}\x{007F}-\x{0084}\x{0086}-\x{009F}]"
SPACES = (
    r"[\x{000B}\x{000C}\x{0085}\x{00A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}"
    r"\x{3000}]"
)


def plain_text(value: str) -> str:
    """One kind of line end, no NUL; no text at all is no value."""
    one_end = f"replace(replace({value}, chr(13) || chr(10), chr(10)), chr(13), chr(10))"
    return (
        f"CASE WHEN contains({value}, chr(13)) OR contains({value}, chr(0)) OR {value} = '' "
        f"THEN nullif(replace({one_end}, chr(0), ''), '') ELSE {value} END"
    )


def in_unicode(value: str) -> str:
    """Composed, without what cannot be seen, every space a plain one."""
    seen = f"regexp_replace({value}, {literal(f'{INVISIBLE}|{CONTROLS}')}, '', 'g')"
    joined = (
        f"CASE WHEN regexp_matches({value}, {literal(NEEDS_JOINERS)}) THEN {seen} "
        f"ELSE regexp_replace({seen}, {literal(JOINERS)}, '', 'g') END"
    )
    spaced = f"nfc_normalize(regexp_replace({joined}, {literal(SPACES)}, ' ', 'g'))"
    # Most text is ASCII without controls, and is that already.
    return (
        f"CASE WHEN regexp_full_match({value}, '[\\t\\n -~]*') THEN {value} "
        f"ELSE nullif({spaced}, '') END"
    )


def trimmed(value: str) -> str:
    """Without white space around it; NULL when nothing else is left."""
    bare = rf"nullif(regexp_replace({value}, '^[\s\x{{00A0}}]+|[\s\x{{00A0}}]+$', '', 'g'), '')"
    # Few values are padded, and the expression takes three times as long as this.
    is_padded = " OR ".join(
        f"prefix({value}, chr({one})) OR suffix({value}, chr({one}))" for one in BLANKS
    )
    return f"CASE WHEN {is_padded} OR {value} = '' THEN {bare} ELSE {value} END"


def without_null_words(value: str, words: Sequence[str]) -> str:
    """NULL where it is one of the words."""
    if not words:
        return value
    listed = ", ".join(literal(word.lower()) for word in words)
    # In UTF-8 a capital letter can take three times the bytes of the small one: the Kelvin sign.
    longest = 3 * max(len(word.encode()) for word in words)
    return (
        f"CASE WHEN strlen({value}) <= {longest} AND lower({value}) IN ({listed}) "
        f"THEN NULL ELSE {value} END"
    )


def without_formulas(value: str) -> str:
    """With a mark before what a spreadsheet would run."""
    return harmless_sql(value)
