"""Reads what was measured and takes studies apart; puts into words only what several documents say alike."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
RESULTS = ROOT / "benchmarks" / "results"
#: A result file: its environment, method, figures and runs.
Found = dict[str, Any]
_ACCURACY = "_test_accuracy_percent"
#: What the runs of a bench hold of each arm.
_OF_ARMS = ("per_seed", "validation")
_CURATED = " curated"


def result(name: str) -> Found | None:
    """A result file; None if it has not been measured."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def studies_of(found: Found) -> list[Found]:
    """The benches in a result: itself, or those that its runs name, the first of which has figures of bare names."""
    runs: dict[str, Any] = {
        name: run for name, run in found["runs"].items() if isinstance(run, dict) and "per_seed" in run
    }
    if not runs:
        return [found]
    others = tuple(f"{name}_" for name in runs if name != "bench")
    bare = {key: value for key, value in found["figures"].items() if not key.startswith(others)}
    return [
        {
            **found,
            "figures": bare if name == "bench" else without_prefix(found["figures"], f"{name}_"),
            "runs": run,
        }
        for name, run in runs.items()
    ]


def parts_of(found: Found) -> list[Found]:
    """A study of several amounts of real images as one of each, in the order of its figures."""
    keys = [match[0] for key in found["figures"] if (match := re.match(r"at_[0-9.]+_percent_", key))]
    if not keys:
        return [found]
    return [
        {
            **found,
            "figures": {"seeds": found["figures"]["seeds"], **without_prefix(found["figures"], prefix)},
            "runs": {
                **without_prefix(found["runs"], prefix),
                **{name: without_prefix(found["runs"].get(name, {}), prefix) for name in _OF_ARMS},
            },
        }
        for prefix in dict.fromkeys(keys)
    ]


def without_prefix(values: dict[str, Any], prefix: str) -> dict[str, Any]:
    """The values whose names begin so, by the rest of their names."""
    return {key.removeprefix(prefix): value for key, value in values.items() if key.startswith(prefix)}


def set_names(found: Found) -> list[str]:
    """The generators whose sets a study judged; the DDPM where it names none."""
    names = [key.removesuffix("_verdict") for key in found["runs"] if key.endswith("_verdict")]
    return found["runs"].get("sets") or names or ["ddpm"]


def figures_of(found: Found, model: str) -> dict[str, float]:
    """A study's figures, those of one generator's set without its name before them."""
    return {key.removeprefix(f"{model}_"): value for key, value in found["figures"].items()}


def judged_sets(found: Found) -> list[str]:
    """Those of the sets of a study that have a gain by now."""
    return [name for name in set_names(found) if "gain_points" in figures_of(found, name)]


def model_of(name: str) -> str:
    """The kind of generator that a set was drawn by, as its name says it; a curated one is called so."""
    return name.removesuffix(_CURATED)


def verdict_of(found: Found, model: str) -> str:
    """What a study says of one generator's set."""
    return str(found["runs"].get(f"{model}_verdict", found["runs"].get("verdict")))


def arms_of(found: Found) -> dict[str, float]:
    """Test accuracy, in percent, of each arm of a study of one amount of real images."""
    figures = found["figures"].items()
    return {key.removesuffix(_ACCURACY): value for key, value in figures if key.endswith(_ACCURACY)}


def mixed_arm(found: Found, model: str) -> str:
    """The arm with one generator's set and classic augmentation; a study of one set does not name it."""
    named = f"mixed+classic ({model})"
    return named if named in arms_of(found) else "mixed+classic"


def gain_of(figures: dict[str, float]) -> str:
    """Points gained by a set, with their interval if there is one."""
    interval = f" ({figures['gain_low']:+.2f} to {figures['gain_high']:+.2f})" if "gain_low" in figures else ""
    return f"{figures['gain_points']:+.2f}{interval}"


def duration(seconds: float) -> str:
    """A time in seconds, or in minutes from ten of them on."""
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min"


def table(header: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
