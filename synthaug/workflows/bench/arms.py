"""The training conditions that the bench compares, as data: what is in their batches, and how it is changed."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from synthaug.core.errors import InputError
from synthaug.core.registry import Registry
from synthaug.data.batch_transforms import TRANSFORMS


class Arm(BaseModel):
    """One training condition; everything else is equal between arms.

    Attributes:
        name: Short name in the field's notation.
        meaning: One sentence for the report.
        sets: Names of the synthetic sets whose images are in its batches, in equal parts; none for real images only.
        synthetic_fraction: Share of each batch that is from them.
        transform: Preset of classic augmentation; None for the recipe's.
        labels: Whether synthetic images keep their labels, or all get another class's.
        repeats_real: Whether the real training images stand in for a synthetic set.
        pretrains: Whether the first half of the epochs has synthetic images only, and the rest real ones only.
        role: `real`: the bench takes the one that validates best as baseline; `mixed`: of those of a set, the one that
            validates best decides its verdict; `other`: for orientation.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    meaning: str = ""
    sets: tuple[str, ...] = ()
    synthetic_fraction: float = Field(0.0, ge=0, le=1)
    transform: str | None = None
    labels: Literal["given", "wrong"] = "given"
    repeats_real: bool = False
    pretrains: bool = False
    role: Literal["real", "mixed", "other"] = "other"

    @property
    def is_real(self) -> bool:
        """Whether its batches hold real images only, each as often as any other."""
        return not self.sets and not self.repeats_real

    @property
    def is_control(self) -> bool:
        """Whether its outcome is known beforehand, against real images only with the same augmentation."""
        return self.labels == "wrong" or self.repeats_real


#: From the share of each batch that is synthetic and the sets' names to arms; one of no set, or one for each.
_Template = Callable[[float, Sequence[str]], list[Arm]]


def _real(name: str, transform: str | None, meaning: str) -> _Template:
    return lambda _, __: [Arm(name=name, transform=transform, meaning=meaning, role="real")]


def _of_each_set(name: str, meaning: str, *, fraction: float | None = None, **choices: Any) -> _Template:
    def arms(share: float, sets: Sequence[str]) -> list[Arm]:
        return [
            Arm(
                name=name if len(sets) == 1 else f"{name} ({one})",
                meaning=meaning if len(sets) == 1 else f"{meaning}: {one}",
                sets=(one,),
                synthetic_fraction=share if fraction is None else fraction,
                **choices,
            )
            for one in sets
        ]

    return arms


def _repeated(share: float, _: Sequence[str]) -> list[Arm]:
    meaning = "real+classic with the real images in place of synthetic ones; the same compute must come to the same"
    return [Arm(name="real-repeated", meaning=meaning, repeats_real=True, synthetic_fraction=share)]


def _together(share: float, sets: Sequence[str]) -> list[Arm]:
    if len(sets) < 2:
        return []
    meaning = "mixed+classic with images of all sets"
    return [Arm(name="mixed-together+classic", meaning=meaning, sets=tuple(sets), synthetic_fraction=share)]


#: What `--arms` knows by name.
ARMS: Registry[_Template] = Registry(
    "arm",
    {
        "real": _real("real", "none", "real images as they are"),
        "real+classic": _real("real+classic", None, "real images with the recipe's classic augmentation"),
        "real+strong": _real("real+strong", "strong", "real images with strong classic augmentation"),
        "synthetic": _of_each_set("synthetic", "synthetic images alone, with the classic augmentation", fraction=1.0),
        "mixed": _of_each_set("mixed", "real and synthetic images in each batch", transform="none", role="mixed"),
        "mixed+classic": _of_each_set(
            "mixed+classic", "real and synthetic images in each batch, with the same classic augmentation", role="mixed"
        ),
        "mixed+strong": _of_each_set(
            "mixed+strong", "real and synthetic images in each batch, with strong augmentation",
            transform="strong", role="mixed",
        ),
        "mixed-together+classic": _together,
        "pretrain-then-finetune": _of_each_set(
            "pretrain-then-finetune", "synthetic images alone for half of the epochs, then real ones alone",
            fraction=1.0, pretrains=True,
        ),
        "real-repeated": _repeated,
        "synthetic-wrong-labels": _of_each_set(
            "synthetic-wrong-labels", "mixed+classic with wrong labels on the synthetic images; it must not help",
            labels="wrong",
        ),
    },
)  # fmt: skip
#: Those of a bench that is told nothing else.
DEFAULT_ARMS = ("real", "real+classic", "synthetic", "mixed", "mixed+classic")
#: A named arm with another share of each batch that is synthetic.
_WITH_SHARE = re.compile(r"^(?P<name>.+)@(?P<share>[0-9.]+)$")


def arm_meanings() -> dict[str, str]:
    """What each name of `--arms` stands for."""
    return {name: (template(0.5, [""]) or template(0.5, ["all"] * 2))[0].meaning for name, template in ARMS.items()}


def arms_of(
    wanted: Sequence[str | Mapping[str, Any]],
    sets: Sequence[str],
    *,
    synthetic_fraction: float,
    sweep: Sequence[float] = (),
) -> tuple[Arm, ...]:
    """The arms of a bench, in the order in which they are asked for, those that all sets share first.

    Args:
        wanted: Names, also with a share like `mixed+classic@0.25`; tables of an `Arm`'s attributes; or `all`.
        sets: Names of the synthetic sets.
        synthetic_fraction: Share of each batch that is synthetic where an arm does not say so.
        sweep: More of these shares, for `mixed+classic`.

    Raises:
        InputError: If a name is unknown or given twice, a table makes no sense, or there is nothing to compare.
    """
    entries: list[str | Mapping[str, Any]] = []
    for entry in wanted:
        entries.extend(ARMS.names() if entry == "all" else [entry])
    entries += [f"mixed+classic@{share:g}" for share in sweep if share != synthetic_fraction]
    is_all = "all" in wanted
    arms = [arm for entry in entries for arm in _arms(entry, sets, synthetic_fraction, is_one_of_all=is_all)]
    names = [arm.name for arm in arms]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"--arms: {name} is given twice; give each arm once, and tables names of their own")
    if not any(arm.role == "real" for arm in arms):
        raise InputError("--arms needs a real-only arm to compare with: real, real+classic or real+strong")
    for name in sets:
        if not deciding_arms(arms, name):
            raise InputError(f"--arms needs an arm to judge {name} by: mixed, mixed+classic or mixed+strong")
    return tuple(sorted(arms, key=lambda arm: bool(arm.sets)))


def _arms(entry: str | Mapping[str, Any], sets: Sequence[str], share: float, *, is_one_of_all: bool) -> list[Arm]:
    if not isinstance(entry, str):
        return [_described(entry, sets)]
    match = _WITH_SHARE.match(entry)
    if match is None:
        made = ARMS.get(entry)(share, sets)
        if not made and not is_one_of_all:
            raise InputError(f"--arms {entry} is for several sets, found {len(sets)}")
        return made
    other = _share(entry, match["share"])
    made, half = (ARMS.get(match["name"])(one, sets) for one in (other, other / 2))
    if made == half:
        raise InputError(f"--arms {entry}: {match['name']} has no share of synthetic images to choose")
    return [
        arm.model_copy(
            update={
                "name": arm.name.replace(match["name"], entry, 1),
                "meaning": f"{arm.meaning}, of which {other:.0%} synthetic",
                "role": "other",
            }
        )
        for arm in made
    ]


def _share(entry: str, text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 < share <= 1:
        raise InputError(f"--arms {entry}: a share of synthetic images must lie in (0, 1], found {text}")
    return share


def _described(table: Mapping[str, Any], sets: Sequence[str]) -> Arm:
    try:
        arm = Arm.model_validate(table)
    except ValidationError as error:
        detail = error.errors()[0]
        where = ".".join(map(str, detail["loc"]))
        raise InputError(f"arms: {where}: {detail['msg']}, found {detail['input']!r}") from error
    if unknown := [name for name in arm.sets if name not in sets]:
        raise InputError(f"arm {arm.name}: there is no set {unknown[0]!r}; the sets are {', '.join(sets)}")
    if bool(arm.sets or arm.repeats_real) != (arm.synthetic_fraction > 0):
        raise InputError(f"arm {arm.name}: give both sets and a synthetic_fraction above 0, or none of them")
    if arm.sets and arm.repeats_real:
        raise InputError(f"arm {arm.name}: either sets or repeats_real can stand in its synthetic share")
    if arm.is_real and (arm.labels == "wrong" or arm.pretrains):
        raise InputError(f"arm {arm.name}: labels and pretrains need synthetic images: give sets or repeats_real")
    if (arm.role == "real" and not arm.is_real) or (arm.role == "mixed" and len(arm.sets) != 1):
        raise InputError(f"arm {arm.name}: the role {arm.role} is for arms of {_ROLES[arm.role]}")
    if arm.transform is not None:
        TRANSFORMS.get(arm.transform)
    return arm if arm.meaning else arm.model_copy(update={"meaning": _meaning(arm)})


_ROLES = {"real": "real images only", "mixed": "one set"}


def _meaning(arm: Arm) -> str:
    parts = [f"{arm.synthetic_fraction:.0%} of each batch from {' and '.join(arm.sets) or 'the real images again'}"]
    if arm.is_real:
        parts = ["real images only"]
    parts += [f"transform {arm.transform}"] * (arm.transform is not None) + ["wrong labels"] * (arm.labels == "wrong")
    return ", ".join(parts)


def baseline_arms(arms: Sequence[Arm]) -> list[Arm]:
    """Those with real images only, one of which is the baseline."""
    return [arm for arm in arms if arm.role == "real"]


def counterpart_of(arm: Arm, arms: Sequence[Arm], usual: str | None) -> Arm | None:
    """The real-only arm with the same augmentation, where `usual` is the recipe's; None if there is none."""
    augmentation = arm.transform or usual
    return next((one for one in baseline_arms(arms) if (one.transform or usual) == augmentation), None)


def deciding_arms(arms: Sequence[Arm], name: str) -> list[Arm]:
    """Those of which one decides the verdict of a set."""
    return [arm for arm in arms if arm.role == "mixed" and arm.sets == (name,)]


def judging_arm(arms: Sequence[Arm]) -> Arm:
    """The real-only arm whose classifiers judge the sets: the one with classic augmentation, if there is one."""
    real = baseline_arms(arms)
    return next((arm for arm in real if arm.transform is None), real[0])


def pairs_of(arms: Sequence[Arm]) -> list[tuple[Arm, Arm]]:
    """Pairs of arms that differ in their set only: one generator and another, raw and curated."""

    def kind(arm: Arm) -> tuple[object, ...]:
        return arm.synthetic_fraction, arm.transform, arm.labels, arm.repeats_real, arm.pretrains, arm.role

    with_sets = [arm for arm in arms if arm.sets and arm.role == "mixed"]
    return [(two, one) for one, two in itertools.combinations(with_sets, 2) if kind(one) == kind(two)]
