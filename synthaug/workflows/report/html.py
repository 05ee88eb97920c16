"""report.html: one file with everything in it."""

from __future__ import annotations

from html import escape
from pathlib import Path

from synthaug.core.errors import InputError
from synthaug.workflows.bench import BenchSummary
from synthaug.workflows.page import document, figure, table
from synthaug.workflows.report import figures, tables


def html_page(summary: BenchSummary, folder: Path) -> str:
    """The whole page; it loads nothing from anywhere.

    Raises:
        InputError: If the bench's grids are missing.
    """
    sentence = escape(summary.sentence())
    tone = summary.verdict.split()[0] if len(summary.sets) == 1 else "several"
    body = f"""<h1>synthaug: does this synthetic data help?</h1>
<p class="verdict {tone}">{sentence}</p>
<p class="lead">{escape(tables.counts_sentence(summary))} {escape(tables.fidelity_sentence(summary))}</p>
<h2>Generators</h2>
<div class="lines">{table(tables.generator_rows(summary))}</div>
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
{table(tables.arm_rows(summary))}
<h2>Gains</h2>
{table(tables.gain_rows(summary))}
<h2>While training</h2>
<div class="pair">
<figure>{figures.curves_plot(summary)}</figure>
<figure>{figures.loss_plot(summary)}</figure>
</div>
<h2>By class</h2>
{table(tables.class_rows(summary))}
<h2>How it was measured</h2>
<p>Arms differ in nothing but what the table says: same network, same number of optimiser steps, same batch size. Each
seed fixes initialisation, order and augmentation for all arms, and differences are taken seed by seed. Weights are
selected on the validation images; the test images are used once per training. No generator saw a validation or test
image, or any real image that the real arms do not use. Intervals are Student's t over seeds, for this split of the
data.</p>
<pre>{escape(tables.command_line(folder))}</pre>
<h2>Settings</h2>
{table([["setting", "value"], *tables.setting_rows(summary.settings)])}
<h2>Environment</h2>
{table([["", ""], *tables.setting_rows(summary.environment)])}"""
    return document(f"synthaug: {tables.headline(summary)}", body)


def _picture(path: Path, caption: str) -> str:
    if not path.is_file():
        raise InputError(f"{path} is missing; run the same bench command again to restore it")
    return figure(path.read_bytes(), caption)
