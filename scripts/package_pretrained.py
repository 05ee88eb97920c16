"""Copies a checkpoint into the package, so that it is there right after installation.

    python scripts/package_pretrained.py demo/ddpm/generator ddpm-digits [--bf16] [--source NAME] [--to FOLDER]

With `--bf16` matrices and kernels are rounded to bfloat16, which halves the files. Run scripts/render_docs.py
afterwards to bring its model card up to date.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from synthaug.generators.checkpoint import CARD_NAME, read_card, verify_weights, weight_hashes, write_card

PRETRAINED = Path(__file__).parent.parent / "synthaug" / "pretrained"
_INDEX_NAME = "model_index.json"


def main() -> None:
    """Checks the checkpoint and copies what a generator needs, without logs and training state."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("name", help="name users will give, for example ddpm-digits")
    parser.add_argument("--bf16", action="store_true", help="round matrices and kernels to bfloat16")
    parser.add_argument("--to", type=Path, default=PRETRAINED, help="folder to copy into, instead of the package's")
    parser.add_argument("--source", help="what to call the images it was trained on, instead of their path")
    options = parser.parse_args()
    card = read_card(options.checkpoint)
    verify_weights(options.checkpoint, card)
    target = options.to / options.name
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
    if options.bf16:
        for weights in target.rglob("*.safetensors"):
            round_weights(weights)
    split = card.split.model_copy(update={"source": options.source or card.split.source})
    write_card(target, card.model_copy(update={"split": split, "weights": weight_hashes(target)}))
    print(f"{target}: {sum(path.stat().st_size for path in target.rglob('*') if path.is_file()):,} bytes")


def round_weights(file: Path) -> None:
    """Rounds what has more than one dimension to bfloat16, in place; vectors (biases, statistics) cost little."""
    tensors = load_file(file)
    rounded = {name: values.to(torch.bfloat16) if values.ndim > 1 else values for name, values in tensors.items()}
    save_file(rounded, file, metadata={"format": "pt"})


if __name__ == "__main__":
    main()
