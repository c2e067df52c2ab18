"""The error tree of Honeyguide, drawn once; `bandit.api` maps it to HTTP status codes in one table.

HoneyguideError
├── InvalidInput      a rule is broken: names the value, the rule and the way out
├── NotFound          no such loop or decision
├── Gone              it was there, and was deleted
├── Conflict          the id is taken by another body, or an ETag is out of date
├── NotStored         nothing was written; the same request may be sent again
└── StoreUnusable     the data folder cannot be opened; a person must act
"""


class HoneyguideError(Exception):
    """The root of every error that Honeyguide raises on purpose."""


class InvalidInput(HoneyguideError):
    """A rule is broken; the message names the value, the rule and the way out."""


class NotFound(HoneyguideError):
    """The named loop or decision does not exist."""


class Gone(HoneyguideError):
    """What is asked for was there and was deleted; the message says when and by what."""


class Conflict(HoneyguideError):
    """The request contradicts what is already written."""


class NotStored(HoneyguideError):
    """Nothing of the request was written; sending it again is safe."""


class StoreUnusable(HoneyguideError):
    """The data folder cannot be opened as it is; the message names the file and what to do."""
