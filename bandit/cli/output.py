"""How commands print what they report: a table to read, or exact JSON."""

from enum import StrEnum


class Format(StrEnum):
    """How a report is printed."""

    TABLE = "table"
    JSON = "json"
