"""US states and territories as their codes: SQL over a column's values."""

from outreach_assets.tools.clean_my_data.meant import Meant
from outreach_assets.tools.reading.columns import literal
from outreach_core.states import STATE_CODES

NAMES = """
    Alaska, Alabama, Arkansas, American Samoa, Arizona, California, Colorado, Connecticut,
    District of Columbia, Delaware, Florida, Georgia, Guam, Hawaii, Iowa, Idaho, Illinois, Indiana,
    Kansas, Kentucky, Louisiana, Massachusetts, Maryland, Maine, Michigan, Minnesota, Missouri,
    Northern Mariana Islands, Mississippi, Montana, North Carolina, North Dakota, Nebraska,
    New Hampshire, New Jersey, New Mexico, Nevada, New York, Ohio, Oklahoma, Oregon, Pennsylvania,
    Puerto Rico, Rhode Island, South Carolina, South Dakota, Tennessee, Texas, Utah, Virginia,
    Virgin Islands, Vermont, Washington, Wisconsin, West Virginia, Wyoming
"""
"""In the order of their codes."""

CODE_BY_NAME = {
    "".join(name.split()).upper(): code
    for name, code in zip(NAMES.split(","), STATE_CODES, strict=True)
} | {"USVIRGINISLANDS": "VI", "WASHINGTONDC": "DC"}

_KEY = "regexp_replace(upper(value), '[ .,]', '', 'g')"
_NAMED = ", ".join(f"{literal(name)}: {literal(code)}" for name, code in CODE_BY_NAME.items())
_CODES = ", ".join(literal(code) for code in STATE_CODES)
_CODE = f"CASE WHEN {_KEY} IN ({_CODES}) THEN {_KEY} ELSE map {{{_NAMED}}}[{_KEY}] END"

LIKE = f"({_CODE}) IS NOT NULL"

MEANT_STATES = Meant(after=_CODE, left="'no state or territory of the US'")
