"""Copies a checkpoint into the package, so that it is there right after installation.

    python scripts/package_pretrained.py demo/ddpm/generator ddpm-digits

Run scripts/render_docs.py afterwards to bring its model card up to date.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from synthaug.generators.checkpoint import CARD_NAME, read_card, verify_weights

PRETRAINED = Path(__file__).parent.parent / "synthaug" / "pretrained"
_INDEX_NAME = "model_index.json"


def main() -> None:
    """Checks the checkpoint and copies what a generator needs, without logs and training state."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("name", help="name users will give, for example ddpm-digits")
    options = parser.parse_args()
    card = read_card(options.checkpoint)
    verify_weights(options.checkpoint, card)
    target = PRETRAINED / options.name
    shutil.rmtree(target, ignore_errors=True)
    components = [
        name for name in json.loads((options.checkpoint / _INDEX_NAME).read_text()) if not name.startswith("_")
    ]
    configs = [
        str(path.relative_to(options.checkpoint))
        for component in components
        for path in (options.checkpoint / component).glob("*config.json")
    ]
    for name in (CARD_NAME, _INDEX_NAME, *configs, *card.weights):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(options.checkpoint / name, target / name)
    print(f"{target}: {sum(path.stat().st_size for path in target.rglob('*') if path.is_file()):,} bytes")


if __name__ == "__main__":
    main()
