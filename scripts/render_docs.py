"""Writes every number of README.md, docs/survey.md, model_cards/ and benchmarks/reports/cifar10.md.

    python scripts/render_docs.py [--check]

They come from results, the packaged checkpoints and benchmarks/references.json. With --check nothing is written, and
the exit status is 1 if a file differs from what would be written.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rendering.cards import model_card
from rendering.evidence import evidence_page
from rendering.readme import readme_page
from rendering.results import ROOT
from rendering.survey import survey_page

from synthaug.generators.checkpoint import read_card
from synthaug.workflows.checkpoints import packaged_checkpoints


def rendered() -> dict[Path, str]:
    """Every generated file with its text."""
    readme = ROOT / "README.md"
    cards = {
        ROOT / "model_cards" / f"{name}.md": model_card(name, read_card(folder))
        for name, folder in packaged_checkpoints().items()
    }
    return {
        readme: readme_page(readme.read_text(encoding="utf-8")),
        ROOT / "docs" / "survey.md": survey_page(),
        ROOT / "benchmarks" / "reports" / "cifar10.md": evidence_page(),
        **cards,
    }


def main() -> None:
    """Writes or checks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if something is out of date")
    is_check = parser.parse_args().check
    texts = rendered()
    stale = [path for path in texts if not path.is_file() or path.read_text(encoding="utf-8") != texts[path]]
    for path in stale:
        print(f"{'out of date' if is_check else 'written'}: {path.relative_to(ROOT)}")
        if not is_check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(texts[path], encoding="utf-8")
    sys.exit(1 if is_check and stale else 0)


if __name__ == "__main__":
    main()
