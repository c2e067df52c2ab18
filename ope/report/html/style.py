"""How a page looks, in the light and in the dark, on a screen and on paper."""

STYLE = """
:root { color-scheme: light dark; --page: #ffffff; --card: #f6f8fa; --ink: #1b2129; --muted: #5b6673; --line: #c9d1d9;
  --soft: #e9edf1; --accent: #0b63c5; --good: #1a7f37; --warn: #8a5a00; --bad: #c0202c; }
@media (prefers-color-scheme: dark) { :root { --page: #10151c; --card: #1a212b; --ink: #e6ebf1; --muted: #9aa6b4;
  --line: #3a4553; --soft: #242d38; --accent: #62a8ff; --good: #4cc26a; --warn: #e0a93b; --bad: #ff7b74; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 70rem; background: var(--page); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
  overflow-wrap: anywhere; }
h1 { font-size: 1.75rem; line-height: 1.25; margin: 0 0 1.25rem; text-wrap: balance; }
h2 { font-size: 1.25rem; margin: 2.75rem 0 .75rem; padding-top: 1.25rem; border-top: 1px solid var(--line); }
p { margin: .5rem 0; max-width: 46rem; }
.verdict { margin: .75rem 0; padding: .75rem 1.25rem; max-width: 54rem;
  background: var(--card); border-left: .3rem solid var(--muted); border-radius: .25rem; }
.verdict strong { font-size: 1.1rem; }
.verdict strong { display: block; }
.lead { color: var(--muted); margin-top: 1.25rem; }
.card { margin: .75rem 0; padding: .65rem 1rem; max-width: 54rem; background: var(--card);
  border-left: .3rem solid var(--muted);
  border-radius: .25rem; }
.card p { margin: .25rem 0; }
.card .aside { color: var(--muted); margin-left: .5rem; font-size: .9rem; }
.good { border-color: var(--good); } .good > strong { color: var(--good); }
.warn { border-color: var(--warn); } .warn > strong { color: var(--warn); }
.bad { border-color: var(--bad); } .bad > strong { color: var(--bad); }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 1.5rem 2.5rem;
  align-items: start; }
figure { margin: 0; max-width: 31rem; min-width: 0; }
figure svg { display: block; width: 100%; height: auto; font-family: inherit; }
figcaption { font-weight: 600; margin-bottom: .5rem; }
.caption { color: var(--muted); font-size: .9rem; margin: .25rem 0 .5rem; }
details { margin: .5rem 0; }
summary { cursor: pointer; color: var(--accent); }
h2 summary, summary.title { font-size: 1.25rem; font-weight: 600; color: var(--ink); }
details.section { margin-top: 2.75rem; padding-top: 1.25rem; border-top: 1px solid var(--line); }
.scroll { overflow-x: auto; margin: .75rem 0; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .9rem .3rem 0; text-align: right; vertical-align: top; border-bottom: 1px solid var(--soft);
  white-space: nowrap; }
th { color: var(--muted); font-weight: 600; border-bottom-color: var(--line); }
th.word, td.word { text-align: left; white-space: normal; overflow-wrap: break-word; min-width: 6rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.25rem; margin: .5rem 0; }
dt { color: var(--muted); } dd { margin: 0; min-width: 0; }
code { font: .9em/1.5 ui-monospace, "SFMono-Regular", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
@media (max-width: 34rem) { body { padding: 1.25rem 1rem 3rem; } h1 { font-size: 1.4rem; }
  dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .5rem; } }
@media print { body { max-width: none; } figure, .card, .verdict { break-inside: avoid; } }
"""
