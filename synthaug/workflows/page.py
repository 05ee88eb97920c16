"""What pages of results share: their look, tables and pictures; not what they say. They load nothing from anywhere."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

#: Longer cells may break; shorter ones are numbers and intervals, which stay whole.
_SHORT = 26
#: Tables of more columns may be set smaller.
_WIDE = 8
STYLE = """
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


def document(title: str, body: str, *, style: str = "") -> str:
    """A whole page.

    Args:
        title: Plain words for the title bar.
        body: HTML.
        style: CSS after what all pages share.
    """
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{STYLE}{style}</style>
</head>
<body>
{body}
</body>
</html>
"""


def table(rows: Sequence[Sequence[str]]) -> str:
    """A table of plain words, the first row its header; too wide for the page, it scrolls on its own.

    Styles may tell apart cells that are `long`, and tables that are `wide`.
    """
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in rows[0])
    body = "".join("<tr>" + "".join(_cell(cell) for cell in row) + "</tr>" for row in rows[1:])
    kind = "scroll wide" if len(rows[0]) > _WIDE else "scroll"
    return f'<div class="{kind}" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(words: str) -> str:
    return f"<td>{escape(words)}</td>" if len(words) <= _SHORT else f'<td class="long">{escape(words)}</td>'


def picture(png: bytes, words: str) -> str:
    """A picture within the page, described for those who cannot see it."""
    return f'<img src="data:image/png;base64,{base64.b64encode(png).decode()}" alt="{escape(words)}">'


def figure(png: bytes, caption: str) -> str:
    """A picture with a caption, which describes it as well."""
    return f"<figure>{picture(png, caption)}\n<figcaption>{escape(caption)}</figcaption></figure>\n"
