"""The HTML report: it says what was found in words, plots and tables, fetches nothing, takes no label for markup."""

import math
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import polars as pl
import pytest
from planted import changed, healthy
from typer.testing import CliRunner

from bandit.cli.main import app
from ope.diagnostics import Diagnostics
from ope.diagnostics.lint import lint_frame
from ope.diagnostics.question import Asked
from ope.diagnostics.thresholds import DEFAULTS
from ope.evaluate import evaluate_frame
from ope.evaluation import Comparison, Estimate, Evaluation, PartEvaluation
from ope.policies import parse_policy
from ope.question import Question
from ope.report.html.drawing.draw import draw
from ope.report.html.of_evaluation import evaluation_page
from ope.report.html.of_lint import lint_page
from ope.report.html.page import as_html
from ope.report.html.plots import Card, Forest, Group, Mark, Page, Paragraph, Section, Verdict
from ope.weight_bins import Bin, WeightBins

ATTACK = "<script>alert('x')</script>\"><img src=http://evil.example/x onerror=alert(1)>"
SOUND = Diagnostics(ess=900.0, max_weight=3.2, mean_weight=1.0, mean_weight_z=0.1, support_deficit=0.0)
BINS = WeightBins(zero=5, bins=(Bin(0.5, 1.0, 60, 45.0), Bin(1.0, 2.0, 35, 50.0)))
VOID = {"meta", "path", "use", "br", "img"}


class Reader(HTMLParser):
    """Reads a page: its elements with their attributes, its text, and whether all that was opened is closed."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.words, self.open = [], [], []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        """The page's text."""
        return re.sub(r"\s+", " ", " ".join(self.words))

    def all(self, tag):
        """Return the attributes of each element of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]


def estimate(name, value, low=math.nan, high=math.nan):
    """Return an estimate at 95%."""
    return Estimate(name, value, 0.01, (low, high), 0.95, "normal")


def judged(*estimates, **more):
    """Return the evaluation of a sound log of 1,000 rows."""
    return Evaluation(1_000, estimates or (estimate("ips", 0.38, 0.33, 0.43),), SOUND, **more)


def read(report, **asked):
    """Return the page of an evaluation, read."""
    return Reader(as_html(evaluation_page(report, files=["log.parquet"], **asked)))


def log_of(**columns):
    """Return the healthy log with other columns."""
    return healthy(rows=600).with_columns(**columns)


def full_report():
    """Return an evaluation of two policies with all that a page can have."""
    asked = Question(
        policies=["uniform", "fixed:a"], against="logged", segments=["country"], window="6h", weights=True,
        on_bad_rows="report",
    )  # fmt: skip
    return evaluate_frame(healthy(rows=600), asked)


@pytest.fixture(scope="module")
def full():
    """The full page as HTML."""
    return as_html(evaluation_page(full_report(), files=["log.parquet"], asked=[("command", "honeyguide …")]))


def test_the_first_words_say_what_was_earned_and_whether_the_log_can_carry_it():
    """A manager reads the value, the interval and the verdict before anything else."""
    text = read({"uniform": judged(estimate("ips", 0.381, 0.331, 0.431))}).text
    said = "Policy uniform would have earned 0.38 per decision, between 0.33 and 0.43 (95% interval, ips)."
    assert text.index(said) < text.index("Estimates")
    assert f"{said} The log can carry that: its 1,000 rows are worth 900 of the policy's own." in text


@pytest.mark.parametrize(
    ("of", "says"),
    [
        (replace(SOUND, ess=12.3), "The log cannot carry that: its 1,000 rows are worth 12.3 of the policy's own."),
        (replace(SOUND, ess=60.0), "The log can carry that, with care: its 1,000 rows are worth 60"),
        (
            replace(SOUND, support_deficit=0.2),
            "20% of the policy's choices are where the logger never went",
        ),
        (replace(SOUND, mean_weight=0.7, mean_weight_z=-9.1), "the mean weight is 0.7, 9.1 standard errors from 1"),
        (replace(SOUND, ess=math.nan), "The log cannot carry that: the weights are so large"),
    ],
)
def test_a_log_that_cannot_carry_it_says_why(of, says):
    """Each fault of the weights is a reason in words, in the verdict and below."""
    assert says in read({"uniform": replace(judged(), diagnostics=of)}).text


def test_the_best_estimator_with_an_interval_speaks():
    """Dr before snips before ips; one without an interval only where no other has one."""
    ips, dr = estimate("ips", 0.1, 0.0, 0.2), estimate("dr", 0.3)
    assert "0.10 per decision" in read({"uniform": judged(ips, dr)}).text
    assert "0.3 per decision (dr; without an interval)" in read({"uniform": judged(dr)}).text
    assert "is undefined: no estimator has a value" in read({"uniform": judged(estimate("ips", math.nan))}).text


def test_a_comparison_is_said_in_words():
    """More or less, between what, and whether the log tells the two apart."""
    lift = Comparison("logged", (estimate("ips", -0.05, -0.09, -0.01),))
    text = read({"uniform": judged(against=lift)}).text
    assert "That is 0.050 less than logged on the same rows, the difference lying between −0.090 and −0.010" in text
    assert "tell the two apart" not in text
    doubt = Comparison("logged", (estimate("ips", 0.05, -0.01, 0.11),))
    assert "The log does not tell the two apart." in read({"uniform": judged(against=doubt)}).text
    assert "less than" not in read({"logged": judged(against=lift)}).text


def test_every_part_is_there(full):
    """Plots of estimates, differences, segments, time and weights; tables; notes; bad rows; what was asked."""
    text = Reader(full).text
    for title in (
        "What each policy would have earned", "How much more than logged", "By country", "Over time",
        "How many rows each country is worth", "uniform over time (", "How many rows each window is worth for fixed:a",
        "How far to trust them", "Weights of uniform", "All estimates", "Notes", "Rows left out", "What was asked",
    ):  # fmt: skip
        assert title in text
    for asked in ("honeyguide …", "log.parquet", "600", "normal, 95%"):
        assert asked in text[text.index("What was asked") :]


def test_every_plot_has_words_and_a_table(full):
    """Who cannot see the plots has the same in words and numbers."""
    page = Reader(full)
    drawings = page.all("svg")
    assert len(drawings) == full.count("<figure>") == full.count("<summary>The numbers</summary>") >= 10
    assert all(one["role"] == "img" and len(one["aria-label"]) > 20 for one in drawings)


def test_the_page_fetches_and_runs_nothing(full):
    """No script, no address, no request: the file is all there is."""
    page = Reader(full)
    assert "http:" not in full
    assert "https:" not in full
    assert "@import" not in full
    assert not {"script", "link", "img", "iframe", "object", "style src"} & {tag for tag, _ in page.elements}
    for _, attributes in page.elements:
        for name in ("src", "href", "xlink:href"):
            assert attributes.get(name, "#").startswith("#")
        assert not [name for name in attributes if name.startswith("on")]
    for address in re.findall(r"url\(([^)]*)\)", full):
        assert address.startswith("#")
    assert "default-src 'none'" in page.all("meta")[-1]["content"]


def test_names_inside_the_page_are_its_own(full):
    """No two elements share an id, and each reference has its element: a wrong clip path would hide a plot."""
    page = Reader(full)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    used = {one or other for one, other in re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', full)}
    assert used == set(ids)


def test_colours_follow_the_reader(full):
    """Every colour of a plot is a variable that the page sets for light and dark."""
    drawings = " ".join(re.findall(r"<svg.*?</svg>", full, re.DOTALL))
    assert re.findall(r"#[0-9a-fA-F]{6}\b", drawings) == []
    used = set(re.findall(r"var\(--([a-z]+)\)", full))
    light, dark = re.findall(r":root \{([^}]*)\}", full)
    assert used <= set(re.findall(r"--([a-z]+):", light)) == set(re.findall(r"--([a-z]+):", dark))


def test_the_same_input_gives_the_same_bytes(full):
    """No date, no random name: reports can be compared and kept under version control."""
    again = as_html(evaluation_page(full_report(), files=["log.parquet"], asked=[("command", "honeyguide …")]))
    assert again == full
    plot = Forest([Group("", [Mark("ips", 0.4, 0.3, 0.5)])], "reward")
    assert draw(plot, salt="a") == draw(plot, salt="a")
    assert "date" not in draw(plot, salt="a").lower()


def test_labels_are_text(tmp_path):
    """Action ids, segments, columns, file names and notes are shown as they are written, never as markup."""
    hostile = {"a": ATTACK, "b": "b", "c": "c", "d": "d"}
    pairs = pl.col("distribution").list.eval(
        pl.struct(
            action=pl.element().struct.field("action").replace_strict(hostile),
            propensity=pl.element().struct.field("propensity"),
        )
    )
    log = log_of(action=pl.col("action").replace_strict(hostile), distribution=pairs, country=pl.lit(ATTACK))
    path = tmp_path / "<b>log.parquet"
    log.rename({"country": "<i>land"}).write_parquet(path)
    more = ["--policy", f"fixed:{ATTACK}", "--segment", "<i>land"]
    for command in ("evaluate", "diagnose"):
        out = tmp_path / f"{command}.html"
        result = CliRunner().invoke(app, ["ope", command, str(path), *more, "--html", str(out)])
        assert result.exception is None or isinstance(result.exception, SystemExit)
        page = Reader(out.read_text())
        assert not {"script", "img", "b", "i"} & {tag for tag, _ in page.elements}
        assert ATTACK in page.text
        assert "<i>land" in page.text
        assert "<b>log.parquet" in page.text


def test_control_characters_are_replaced():
    """What HTML cannot hold is shown as missing, so that the page stays readable."""
    page = as_html(Page("x\0y\x1b[31m", (), (Paragraph("a\u202eb"),), ()))
    assert not {"\0", "\x1b", "\u202e"} & set(page)


def test_what_is_undefined_is_said():
    """NaN and infinities are no numbers: a dash in tables, a word in plots, and no crash."""
    report = {
        "columns": Evaluation(
            1,
            (estimate("ips", math.nan), estimate("snips", math.inf, -math.inf, math.inf), estimate("dr", 1e-9)),
            Diagnostics(math.nan, math.inf, math.nan, math.nan, None),
            weights=WeightBins(1, ()),
        )
    }
    page = as_html(evaluation_page(report, files=["log.parquet"]))
    text = Reader(page).text
    assert "undefined" in text
    assert "nan" not in page.lower()
    assert "inf" not in re.sub("info|inform", "", text.lower())
    assert "Hollow dots have no interval." in text
    assert "What the log says of the target" in text


def test_extreme_numbers_do_not_hide_the_others():
    """An interval a million times as wide is cut off and marked; the others keep their room."""
    close = [estimate(f"e{i}", 0.4 + i / 100, 0.35, 0.5) for i in range(7)]
    text = read({"uniform": judged(*close, estimate("wild", 1e6, -1e8, 1e9))}).text
    assert "Arrows point to what lies beyond the plot." in text
    assert "Arrows" not in read({"uniform": judged(*close)}).text


def test_long_names_are_shortened_in_plots_only():
    """A plot has room for the ends of a name; the table has all of it."""
    name = "estimator_with_a_very_long_name_that_ends_in_2"
    page = read({"uniform": judged(estimate(name, 0.4, 0.3, 0.5))})
    assert "estimator_wi…t_ends_in_2" in page.text
    assert name in page.text


def rows_of_plot(page):
    """Return the heights of the row names in the first drawing."""
    drawing = re.search(r"<svg.*?</svg>", page, re.DOTALL)[0]
    return sorted(float(y) for y in re.findall(r'text-anchor: end[^>]*? y="([\d.]+)"', drawing))


def test_labels_do_not_overlap():
    """Three policies with eight estimators each stand below each other, a line apart."""
    found = judged(*(estimate(f"estimator_{i}", 0.4 + i / 100, 0.3, 0.6) for i in range(8)))
    page = as_html(evaluation_page(dict.fromkeys(("uniform", "logged", "fixed:a"), found), files=["log"]))
    heights = rows_of_plot(page)
    assert len(heights) == 24
    assert min(b - a for a, b in pairwise(heights)) >= 20


def test_a_thousand_windows_stay_below_a_megabyte():
    """The largest page that can be asked for can still be sent by mail."""
    windows = tuple(
        PartEvaluation("at", f"2026-01-01T00:{i // 60:02}:{i % 60:02}Z" if i < 3600 else None, judged())
        for i in range(1_000)
    )
    report = {name: judged(parts=windows, weights=BINS) for name in ("uniform", "logged", "fixed:a")}
    assert len(as_html(evaluation_page(report, files=["log.parquet"])).encode()) < 1_000_000


def test_a_lint_as_a_page():
    """The verdict, each fault with value, limit, place and way out, the plots, what passed, what is unknown."""
    asked = Asked(DEFAULTS, policies=(parse_policy("uniform"),), segments=("country",))
    text = Reader(as_html(lint_page(lint_frame(changed("propensity", 0.0, 3), asked=asked)))).text
    order = [
        "do not use", "The log should not be judged as it is. 1 grave fault; the first: 1 of 4,000 rows",
        "Faults", "propensity_zero", "1 (limit 0) · frame: row 3", "→ Log the probability", "Weights of uniform",
        "How many rows each action is worth for uniform", "How many rows each country is worth for uniform", "Passed",
        "reward_gap", "Not known from this log", "overlap", "What was asked",
    ]  # fmt: skip
    places = [text.index(words) for words in order]
    assert places == sorted(places)
    sound = Reader(as_html(lint_page(lint_frame(healthy(), asked=asked)))).text
    assert "The log is sound" in sound
    assert "No fault was found." in sound


def test_a_lint_without_rows_or_targets_has_a_page():
    """Where there is nothing to draw, the page says what there is."""
    for log in (healthy().clear(), healthy(rows=50).select("reward"), healthy(rows=50).select("propensity", "reward")):
        assert "What was asked" in Reader(as_html(lint_page(lint_frame(log)))).text


def test_any_report_can_put_verdict_and_reasons_on_top():
    """What a gate needs: a word with its tone, a sentence, reasons with the way out, then the plots."""
    reasons = Section("Reasons", cards=[Card("bad", "overlap", "it learned from these rows", "freeze it earlier", "3")])
    page = Reader(as_html(Page("Gate", [Verdict("refuse", "bad", "The candidate may not serve.")], (), [reasons])))
    assert "Gate refuse The candidate may not serve. Reasons overlap 3 it learned from these rows → freeze" in page.text
    assert {"class": "verdict bad"} in page.all("div")
    assert {"class": "card bad"} in page.all("div")


def run(*arguments):
    """Run the program in this process."""
    return CliRunner().invoke(app, ["ope", *map(str, arguments)])


def test_the_command_writes_the_file_and_prints_as_before(tmp_path):
    """`--html` adds a file and changes nothing that is printed; the page says how it was asked for."""
    log, out = tmp_path / "log.parquet", tmp_path / "report.html"
    healthy(rows=300).write_parquet(log)
    asked = ["evaluate", log, "--policy", "uniform", "--level", 0.9]
    plain, result = run(*asked), run(*asked, "--html", out)
    assert (result.exit_code, result.stdout) == (0, plain.stdout)
    text = Reader(out.read_text()).text
    assert f"honeyguide ope evaluate {log} --policy uniform --level 0.9 --html {out}" in text
    assert "normal, 90%" in text
    assert run("diagnose", log, "--html", out).exit_code == 0
    assert f"honeyguide ope diagnose {log} --html {out}" in Reader(out.read_text()).text


def test_a_file_that_cannot_be_written_is_a_wrong_question(tmp_path):
    """Exit 2 with the path and the way out, and what was there stays."""
    log, out = tmp_path / "log.parquet", tmp_path / "report.html"
    healthy(rows=300).write_parquet(log)
    for command in ("evaluate", "diagnose"):
        result = run(command, log, "--policy", "uniform", "--html", tmp_path / "no" / "report.html")
        assert result.exit_code == 2
        assert "name a file in a folder that exists" in result.stderr
    out.write_text("older")
    assert run("evaluate", log, "--policy", "greedy", "--html", out).exit_code == 2
    assert out.read_text() == "older"
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["log.parquet", "report.html"]


def test_commands_that_draw_nothing_do_not_load_what_draws():
    """The command line starts as fast as before: matplotlib is imported when a page is written."""
    script = "import sys, bandit.cli.main; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_rankings_have_a_page_too():
    """The weights of whole rankings are a histogram like any other."""
    log = pl.DataFrame({"reward": [1.0, 0.0], "propensity": [0.5, 0.25], "target_propensity": [0.25, 0.25]})
    slots = log.with_columns(slot_rewards=pl.lit([1.0, 0.0]), pscore=pl.lit(0.1))
    found = evaluate_frame(slots, Question(weights=True))
    assert "Weights of the target" in read(found).text
