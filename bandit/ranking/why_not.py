"""Why a logged ranking's marginals cannot be told exactly, in the words of the export."""

from enum import StrEnum


class WhyNot(StrEnum):
    """The reasons; the export's readers may compare with them, so a released one keeps its words."""

    LEFT_OUT = "left out: marginals were not asked for"
    OLD_ROW = "an older version did not log what the ranking's slots were computed from"
    NEWER_ROW = "a newer version logged a belief that this one cannot read"
    FOREIGN = "a policy of another package: its belief has a shape that is not logged"
    TOO_MANY_DRAWS = "frozen draws too many to log"
    GUARDS_CHANGED = "guards changed since"
    TOO_MANY_SETS = "too many sets of actions can stand above"
    DIFFERS = "computed again, a propensity differs from the logged one"


class NotExact(Exception):  # not an error: the export writes null and the reason
    """The marginals cannot be told, and why not."""

    def __init__(self, why: WhyNot) -> None:
        super().__init__(str(why))
        self.why = why
