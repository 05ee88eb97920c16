"""A report as one HTML file with everything in it; it loads nothing from anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from synthaug.workflows.page import document, figure, table
from synthaug.workflows.report.blocks import (
    Banner,
    Beside,
    Block,
    Code,
    Contents,
    Facts,
    Heading,
    Opening,
    Paragraph,
    Picture,
    Plot,
    Table,
    Verdict,
    Verdicts,
)

_STYLE = """
body { max-width: 74rem }
h1 { margin-bottom: .5rem } h3 { font-size: 1.02rem; margin: 1.8rem 0 .5rem }
p { max-width: 48rem }
.verdict { max-width: none; margin: .3rem 0 .7rem }
ul.verdicts { list-style: none; margin: 0; padding: 0; display: grid; gap: .45rem }
ul.verdicts li { border-left: .4rem solid var(--tone); background: var(--box); border-radius: .3rem;
  padding: .4rem .7rem; overflow-wrap: anywhere }
ul.verdicts b { font-weight: 650 } ul.verdicts span { display: block; color: var(--dim);
  font-size: .86rem; line-height: 1.35 }
.banner { border: 2px solid #d55e00; border-radius: .3rem; padding: .5rem .9rem; margin: .4rem 0; font-weight: 600;
  overflow-wrap: anywhere }
.banner ul { margin: .2rem 0 0; padding-left: 1.2rem; font-weight: 400; font-size: .92rem }
.opening { display: grid; grid-template-columns: minmax(0, 1.15fr) minmax(0, 1fr); gap: 1.5rem; align-items: start }
dl.facts { margin: 0; display: grid; gap: .8rem }
dl.facts dt { color: var(--dim); font-size: .9rem } dl.facts dd { margin: 0; overflow-wrap: anywhere }
dl.facts dd.answer { font-size: 1.2rem; font-weight: 650; line-height: 1.3 }
dl.facts dd.how { color: var(--dim); font-size: .9rem }
figure.plot { max-width: 36rem } .pair.plots { grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)) }
.pair { grid-template-columns: repeat(auto-fit, minmax(min(100%, 18rem), 1fr)) }
.contents { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; margin: 1.4rem 0 0; font-size: .92rem }
.contents a { color: inherit; padding: .3rem 0 }
.scroll { margin: .5rem 0 } table { width: auto; min-width: min(100%, 30rem) }
td, th { overflow-wrap: break-word; max-width: 24rem } td:first-child, th:first-child { white-space: normal }
td:not(.long) { white-space: nowrap } td.long { min-width: 13rem }
th { vertical-align: bottom; font-weight: 600 }
pre { white-space: pre-wrap; overflow-wrap: anywhere }
@media (max-width: 48rem) {
  body { padding: 1rem } .opening { grid-template-columns: minmax(0, 1fr) } .verdict { font-size: 1.15rem } }
@media print {
  @page { margin: 14mm }
  :root { --ink: #000; --dim: #444; --paper: #fff; --line: #bbb; --box: #f2f2f2; color-scheme: light }
  body { padding: 0; font-size: 10pt; max-width: none } .contents { display: none }
  .scroll { overflow: visible } table { font-size: 7.5pt; width: 100%; min-width: 0 }
  td, th { white-space: normal !important; overflow-wrap: anywhere; max-width: none; min-width: 0 !important;
    padding: .2rem .25rem } td:not(.long, :first-child) { overflow-wrap: normal } .wide table { font-size: 6.2pt }
  thead { display: table-header-group } tr, figure, .verdict, ul.verdicts li, .banner, dl.facts { break-inside: avoid }
  h2, h3 { break-after: avoid } .opening { grid-template-columns: minmax(0, 1fr) minmax(0, 1fr) }
  .verdict, ul.verdicts li { print-color-adjust: exact; -webkit-print-color-adjust: exact } }
"""


def html_page(title: str, heading: str, blocks: Sequence[Block]) -> str:
    """The whole page.

    Args:
        title: For the title bar.
        heading: What the page asks.
        blocks: What it says.
    """
    body = "\n".join([f"<h1>{escape(heading)}</h1>", *(_html(block) for block in blocks)])
    return document(title, body, style=_STYLE)


def _html(block: Block) -> str:  # noqa: C901, PLR0911 (one case for each kind)
    match block:
        case Heading(words, level, anchor):
            name = f' id="{anchor}"' if anchor else ""
            return f"<h{level}{name}>{escape(words)}</h{level}>"
        case Paragraph(words, kind):
            return f"<p>{escape(words)}</p>" if kind == "text" else f'<p class="{kind}">{escape(words)}</p>'
        case Verdicts(entries):
            return _verdicts(entries)
        case Banner(words, items):
            listed = "".join(f"<li>{escape(item)}</li>" for item in items)
            cases = f"<ul>{listed}</ul>" if items else ""
            return f'<div class="banner" role="alert">{escape(words)}{cases}</div>'
        case Facts():
            return _facts(block)
        case Table(rows):
            return table(rows)
        case Plot(svg, _, caption):
            return f'<figure class="plot">{svg}<figcaption>{escape(caption)}</figcaption></figure>'
        case Picture(path, _, caption):
            return figure(path.read_bytes(), caption)
        case Code(words):
            return f"<pre>{escape(words)}</pre>"
        case Contents(entries):
            links = "".join(f'<a href="#{anchor}">{escape(words)}</a>' for words, anchor in entries)
            return f'<nav class="contents">{links}</nav>'
        case Beside(blocks):
            layout = "pair plots" if isinstance(blocks[0], Plot) else "pair"
            return f'<div class="{layout}">\n{"".join(_html(one) for one in blocks)}</div>'
        case Opening(plot, blocks):
            others = "\n".join(_html(one) for one in blocks)
            return f'<div class="opening">\n<div>{_html(plot)}</div>\n<div>{others}</div>\n</div>'


def _verdicts(entries: Sequence[Verdict]) -> str:
    if len(entries) == 1 and not entries[0].details:
        return f'<p class="verdict {_tone(entries[0])}">{escape(entries[0].words)}</p>'
    lines = []
    for entry in entries:
        details = f"<span>{escape(entry.details)}</span>" if entry.details else ""
        lines.append(f'<li class="{_tone(entry)}"><b>{escape(entry.words)}</b>{details}</li>')
    return f'<ul class="verdicts">{"".join(lines)}</ul>'


def _tone(entry: Verdict) -> str:
    return entry.verdict.split()[0]


def _facts(facts: Facts) -> str:
    lines = []
    for fact in facts.entries:
        how = f'<dd class="how">{escape(fact.details)}</dd>' if fact.details else ""
        lines.append(f'<div><dt>{escape(fact.question)}</dt><dd class="answer">{escape(fact.answer)}</dd>{how}</div>')
    return f'<dl class="facts">{"".join(lines)}</dl>'
