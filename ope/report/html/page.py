"""Turns a page of plain values into HTML that fetches nothing, runs nothing, and takes no label for markup."""

from collections.abc import Iterator
from html import escape
from itertools import count
from pathlib import Path

from ope.atomic import atomically
from ope.report.html.drawing.draw import draw
from ope.report.html.plots import Card, Figure, Page, Paragraph, Section, Table, Verdict
from ope.report.html.style import STYLE
from ope.report.html.svg import inline

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""What a browser may fetch or run for this page: nothing, whatever a label says."""


def write_page(page: Page, out: Path) -> None:
    """Write the page to a file, which is there when all is written."""
    with atomically(out) as file:
        file.write(as_html(page).encode())


def as_html(page: Page) -> str:
    """Return the page as HTML; the same text for the same page."""
    return "\n".join(_lines(page)) + "\n"


def _lines(page: Page) -> Iterator[str]:
    title = _text(page.title)
    yield f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    yield f"<style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>"
    yield from (_verdict(one) for one in page.verdicts)
    yield '<div class="lead">'
    yield from (_paragraph(one) for one in page.lead)
    yield "</div>"
    names = (f"plot{number}" for number in count(1))
    for section in page.sections:
        yield from _section(section, names)
    if page.asked:
        yield "<h2>What was asked</h2>\n<dl>"
        yield from (f"<dt>{_text(name)}</dt><dd><code>{_text(value)}</code></dd>" for name, value in page.asked)
        yield "</dl>"
    yield "</main>\n</body>\n</html>"


def _section(section: Section, names: Iterator[str]) -> Iterator[str]:
    title = _text(section.title)
    folded = f'<details class="section"><summary class="title">{title}</summary>'
    yield folded if section.folded else f"<section>\n<h2>{title}</h2>"
    yield from (_paragraph(one) for one in section.paragraphs)
    yield from (_card(one) for one in section.cards)
    if section.figures:
        yield '<div class="plots">'
        yield from (_figure(one, next(names)) for one in section.figures)
        yield "</div>"
    yield from (_table(one) for one in section.tables)
    yield "</details>" if section.folded else "</section>"


def _figure(figure: Figure, name: str) -> str:
    drawn = inline(draw(figure.drawn, salt=name), name=name, alt=figure.alt)
    caption = f'<p class="caption">{_text(figure.caption)}</p>' if figure.caption else ""
    table = f"<details><summary>The numbers</summary>{_table(figure.table)}</details>"
    return f"<figure>\n<figcaption>{_text(figure.title)}</figcaption>\n{drawn}\n{caption}{table}\n</figure>"


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col"{_word(table, at)}>{_text(cell)}</th>' for at, cell in enumerate(table.headings))
    body = "\n".join(
        f"<tr>{''.join(f'<td{_word(table, at)}>{_text(cell)}</td>' for at, cell in enumerate(row))}</tr>"
        for row in table.rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>'


def _word(table: Table, place: int) -> str:
    return ' class="word"' if place < table.words else ""


def _verdict(verdict: Verdict) -> str:
    says = f"<span>{_text(verdict.says)}</span>"
    return f'<div class="verdict {_tone(verdict.tone)}"><strong>{_text(verdict.word)}</strong>{says}</div>'


def _card(card: Card) -> str:
    aside = f'<span class="aside">{_text(card.aside)}</span>' if card.aside else ""
    way_out = f"<p>→ {_text(card.way_out)}</p>" if card.way_out else ""
    head = f"<strong>{_text(card.name)}</strong>{aside}"
    return f'<div class="card {_tone(card.tone)}">{head}<p>{_text(card.says)}</p>{way_out}</div>'


def _paragraph(paragraph: Paragraph) -> str:
    strong = f"<strong>{_text(paragraph.strong)}</strong> " if paragraph.strong else ""
    return f"<p>{strong}{_text(paragraph.text)}</p>"


def _tone(tone: str) -> str:
    return tone if tone in {"good", "warn", "bad"} else ""


def _text(text: str) -> str:
    """Return text that is nothing but text; what a page cannot hold (control characters) is replaced."""
    clean = "".join(letter if letter.isprintable() or letter in "\n\t" else "�" for letter in text)
    return escape(clean, quote=True)
