"""report.html: one file with everything in it."""

from __future__ import annotations

import base64
from html import escape
from pathlib import Path

from synthaug.core.errors import InputError
from synthaug.workflows.bench import BenchSummary
from synthaug.workflows.report import figures, tables

_STYLE = """
:root { color-scheme: light dark; --ink: #1c1e21; --dim: #5f6368; --paper: #ffffff; --line: #d9dce0; --box: #f4f6f8 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8eaed; --dim: #a0a6ad; --paper: #16181b; --line: #3a3f45; --box: #202327 } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 66rem; padding: 1.5rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif }
h1 { font-size: 1.1rem; color: var(--dim); font-weight: 600; margin: 0 }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem }
p.lead, p.note { color: var(--dim) }
p.note { font-size: .9rem }
.verdict { font-size: 1.5rem; line-height: 1.3; font-weight: 650; margin: .4rem 0 .8rem; padding: .8rem 1rem;
  border-left: .5rem solid var(--tone); background: var(--box); border-radius: .3rem }
.helps { --tone: #009e73 } .hurts { --tone: #d55e00 } .inconclusive, .no { --tone: #e69f00 }
.several { --tone: #0072b2; font-size: 1.25rem }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)); gap: 1.2rem }
figure { margin: 0 } figcaption { color: var(--dim); font-size: .9rem }
img { width: 100%; max-width: 30rem; image-rendering: pixelated; border-radius: .3rem }
svg { width: 100%; height: auto }
.scroll { overflow-x: auto }
table { border-collapse: collapse; width: 100%; font-size: .92rem }
th, td { text-align: left; padding: .35rem .45rem; border-bottom: 1px solid var(--line); vertical-align: top }
th:first-child, td:first-child, .lines td:nth-child(-n+3) { white-space: nowrap }
td { font-variant-numeric: tabular-nums; overflow-wrap: anywhere }
pre { background: var(--box); padding: .8rem; border-radius: .3rem; overflow-x: auto }
@media print { body { max-width: none } }
"""


def html_page(summary: BenchSummary, folder: Path) -> str:
    """The whole page; it loads nothing from anywhere.

    Raises:
        InputError: If the bench's grids are missing.
    """
    sentence = escape(summary.sentence())
    tone = summary.verdict.split()[0] if len(summary.sets) == 1 else "several"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>synthaug: {escape(tables.headline(summary))}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>synthaug: does this synthetic data help?</h1>
<p class="verdict {tone}">{sentence}</p>
<p class="lead">{escape(tables.counts_sentence(summary))} {escape(tables.fidelity_sentence(summary))}</p>
<h2>Generators</h2>
<div class="lines">{_table(tables.generator_rows(summary))}</div>
<p class="note">{escape(tables.generators_sentence(summary))}</p>
<div class="pair">
<figure>{figures.gain_plot(summary)}<figcaption>{escape(tables.gains_sentence(summary))}</figcaption></figure>
<figure>{figures.accuracy_plot(summary)}<figcaption>All arms.</figcaption></figure>
</div>
<h2>What the classifier was shown</h2>
<div class="pair">
{"".join(_picture(folder / name, caption) for name, caption in tables.pictures(summary).items())}
</div>
<h2>Arms</h2>
{_table(tables.arm_rows(summary))}
<h2>Gains</h2>
{_table(tables.gain_rows(summary))}
<h2>While training</h2>
<div class="pair">
<figure>{figures.curves_plot(summary)}</figure>
<figure>{figures.loss_plot(summary)}</figure>
</div>
<h2>By class</h2>
{_table(tables.class_rows(summary))}
<h2>How it was measured</h2>
<p>Arms differ in nothing but what the table says: same network, same number of optimiser steps, same batch size. Each
seed fixes initialisation, order and augmentation for all arms, and differences are taken seed by seed. Weights are
selected on the validation images; the test images are used once per training. No generator saw a validation or test
image, or any real image that the real arms do not use. Intervals are Student's t over seeds, for this split of the
data.</p>
<pre>{escape(tables.command_line(folder))}</pre>
<h2>Settings</h2>
{_table([["setting", "value"], *tables.setting_rows(summary.settings)])}
<h2>Environment</h2>
{_table([["", ""], *tables.setting_rows(summary.environment)])}
</body>
</html>
"""


def _table(rows: tables.Rows) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows[1:])
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _picture(path: Path, caption: str) -> str:
    if not path.is_file():
        raise InputError(f"{path} is missing; run the same bench command again to restore it")
    data, words = base64.b64encode(path.read_bytes()).decode(), escape(caption)
    return (
        f'<figure><img src="data:image/png;base64,{data}" alt="{words}">\n<figcaption>{words}</figcaption></figure>\n'
    )
