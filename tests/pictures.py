"""What is drawn in the plots that assets show."""

from base64 import b64decode
from xml.etree import ElementTree as ET

SVG = "{http://www.w3.org/2000/svg}"


def dot_colours(history: object) -> list[str | None]:
    """Of the dots of a history, in order: blue for what went well, red for what did not."""
    picture = b64decode(str(history).partition("base64,")[2].rstrip(")"))
    return [one.get("fill") for one in ET.fromstring(picture).iter(f"{SVG}circle")]  # noqa: S314 our own
