"""The errors of `ope`, one class for each exit code of its commands.

InvalidInput (store.errors)
├── InvalidLog       the rows or the file break a rule: exit 1
│   └── NoRows       nothing is left to judge
└── InvalidRequest   the question cannot be asked of this log: exit 2
"""

from store.errors import InvalidInput


class InvalidLog(InvalidInput):
    """A logged row or file is unusable; names the file, the row, the value, the rule, the way out."""


class NoRows(InvalidLog):
    """A log, or a part of it, holds no row that can be judged."""


class InvalidRequest(InvalidInput):
    """An option is unknown or asks for what the log does not hold; names the choices."""
