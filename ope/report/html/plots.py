"""What is drawn, as small plain values, each with the words and the table that say the same; draws nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, field

Cells = Sequence[str]


@dataclass(frozen=True, slots=True)
class Table:
    """A table: headings and rows of text, nothing escaped; all columns but the first `words` ones are numbers."""

    headings: Cells
    rows: Sequence[Cells]
    words: int = 1


@dataclass(frozen=True, slots=True)
class Mark:
    """A named value between two bounds; None is undefined."""

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Marks under one heading; an empty one is not shown."""

    heading: str
    marks: Sequence[Mark]


@dataclass(frozen=True, slots=True)
class Forest:
    """Values with intervals, one below the other; `zero` draws a line there."""

    groups: Sequence[Group]
    axis: str
    zero: float | None = None


@dataclass(frozen=True, slots=True)
class Lollipops:
    """Amounts from 0 on, one below the other; `limit` draws a line, and what is below it stands out."""

    groups: Sequence[Group]
    axis: str
    limit: float | None = None


@dataclass(frozen=True, slots=True)
class Weights:
    """Bins of weights: edges (one more than bins), the share of the rows in each, of the weight up to its end."""

    edges: Sequence[float]
    rows: Sequence[float]
    cumulated: Sequence[float]


@dataclass(frozen=True, slots=True)
class OverTime:
    """Values with intervals over time, `at` in seconds since 1970; `limit` draws a line, and 0 is then on the axis."""

    at: Sequence[float]
    marks: Sequence[Mark]
    axis: str
    limit: float | None = None


Drawn = Forest | Lollipops | Weights | OverTime


@dataclass(frozen=True, slots=True)
class Figure:
    """A plot with its title, what it shows in words (for who cannot see it), a caption, and its numbers."""

    title: str
    alt: str
    drawn: Drawn
    table: Table
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Words; `strong` ones stand before them."""

    text: str
    strong: str = ""


@dataclass(frozen=True, slots=True)
class Card:
    """One thing that is wrong, or one reason: how bad, its name, where, what it means, and what to do."""

    tone: str
    name: str
    says: str
    way_out: str = ""
    aside: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page; `folded` shows its title only until it is opened."""

    title: str
    paragraphs: Sequence[Paragraph] = ()
    cards: Sequence[Card] = ()
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()
    folded: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """The word on top, its tone (good, warn or bad) and the sentence beside it."""

    word: str
    tone: str
    says: str


@dataclass(frozen=True, slots=True)
class Page:
    """A whole report; `asked` are names and values of what was asked."""

    title: str
    verdicts: Sequence[Verdict]
    lead: Sequence[Paragraph]
    sections: Sequence[Section]
    asked: Sequence[tuple[str, str]] = field(default_factory=tuple)
