"""Copies a checkpoint into the package, so that it is there right after installation.

    python scripts/package_pretrained.py demo/ddpm/generator ddpm-digits [--bf16] [--source NAME] [--guidance 1.5]

With `--bf16` matrices and kernels are rounded to bfloat16, which halves the files. Run scripts/render_docs.py
afterwards to bring its model card up to date.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from synthaug.generators.packaging import pack_checkpoint

PRETRAINED = Path(__file__).parent.parent / "synthaug" / "pretrained"


def main() -> None:
    """Checks the checkpoint and copies what a generator needs, without logs and training state."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("name", help="name users will give, for example ddpm-digits")
    parser.add_argument("--bf16", action="store_true", help="round matrices and kernels to bfloat16")
    parser.add_argument("--to", type=Path, default=PRETRAINED, help="folder to copy into, instead of the package's")
    parser.add_argument("--source", help="what to call the images it was trained on, instead of their path")
    parser.add_argument("--guidance", type=float, help="guidance to draw with unless told otherwise")
    options = parser.parse_args()
    target = options.to / options.name
    pack_checkpoint(
        options.checkpoint, target, is_rounded=options.bf16, source=options.source, guidance=options.guidance
    )
    print(f"{target}: {sum(path.stat().st_size for path in target.rglob('*') if path.is_file()):,} bytes")


if __name__ == "__main__":
    main()
