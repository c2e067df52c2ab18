"""Makes matplotlib's SVG a part of a page: colours and font are the page's, names its own, nothing is fetched."""

import re
from html import escape

INK, MUTED, LINE, SOFT, ACCENT, BAD = "#010101", "#020202", "#030303", "#040404", "#050505", "#060606"
"""Stand-ins for colours: the page decides what they are, in the light and in the dark."""
_VARIABLES = {INK: "ink", MUTED: "muted", LINE: "line", SOFT: "soft", ACCENT: "accent", BAD: "bad"}
_HEAD = re.compile(r"^.*?<svg[^>]*viewBox=\"([^\"]*)\"[^>]*>", re.DOTALL)
_DROPPED = re.compile(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>|<defs>\s*</defs>", re.DOTALL)
_ID = re.compile(r'\bid="([^"]*)"')
_REFERENCE = re.compile(r'(?:xlink:)?href="#([^"]*)"|url\(#([^)]*)\)')
_FONT = re.compile(r"font-family:[^;\"]*;?|font: ([^;\"]*?)'DejaVu Sans'[^;\"]*")


def inline(svg: str, *, name: str, alt: str) -> str:
    """Return the drawing as an element of a page that has `name` to itself; `alt` says what it shows."""
    found = _HEAD.match(svg)
    if found is None:
        raise ValueError("this is no SVG of matplotlib's: it has no viewBox.")
    body = _DROPPED.sub("", svg[found.end() :])
    used = {one or other for one, other in _REFERENCE.findall(body)}
    body = _ID.sub(lambda match: f'id="{name}-{match[1]}"' if match[1] in used else "", body)
    body = _REFERENCE.sub(lambda match: _renamed(match, name), body)
    body = _FONT.sub("", body)
    for stand_in, variable in _VARIABLES.items():
        body = body.replace(stand_in, f"var(--{variable})")
    body = re.sub(r"\s*\n\s*", " ", body).replace(" >", ">")
    said = escape(alt, quote=True)
    return f'<svg viewBox="{found[1]}" role="img" aria-label="{said}">{body}'.strip()


def _renamed(match: re.Match[str], name: str) -> str:
    return f'href="#{name}-{match[1]}"' if match[1] else f"url(#{name}-{match[2]})"
