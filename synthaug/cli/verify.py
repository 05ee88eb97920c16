"""`synthaug verify`."""

from __future__ import annotations

import typer

from synthaug.cli.verb import add_verb
from synthaug.workflows.verify import VerifyConfig, VerifyResult, verify


def add(app: typer.Typer) -> None:
    """Adds the verb."""
    add_verb(app, "verify", VerifyConfig, verify, _show, None, "synthaug verify synthetic --deep")


def _show(result: VerifyResult) -> str:
    found = result.verification
    counts = ", ".join(f"{name} {count}" for name, count in found.class_counts.items())
    done = [f"made again: {', '.join(result.repaired)}"] if result.repaired else []
    if result.is_newly_finished:
        done.append("the manifest was missing and is now written")
    depth = "all as promised, every image decoded" if found.is_deep else "all as promised"
    summary = f"{result.folder}: {found.shards} shard(s), {found.samples} samples, {found.bytes} bytes, {depth}"
    return "\n".join([*done, summary, f"per class: {counts}"])
