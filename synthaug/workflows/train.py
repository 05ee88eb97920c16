"""Trains a generator on the training part of a source, and on nothing else of it."""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import Field

from synthaug.core.console import log, stderr
from synthaug.core.errors import InputError
from synthaug.core.loggers import LoggerName
from synthaug.core.processes import is_main_process
from synthaug.core.runtime import Runtime
from synthaug.core.storage import check_folder
from synthaug.data.splits import Splits
from synthaug.generators.base import TrainPlan, TrainRequest, load_backend
from synthaug.generators.checkpoint import CARD_NAME, TrainingSummary, read_card
from synthaug.workflows.checkpoints import find_checkpoint
from synthaug.workflows.config import Count, DataConfig, Duration
from synthaug.workflows.judge import MIN_REFERENCE, Judge

_STATE = Path("training") / "state.ckpt"
#: Measurements during a training that measures itself on a GPU.
_LOOKS = 20
#: Below this many images, a training on a GPU is over before compiling has paid.
_WORTH_COMPILING = 500_000
#: Steps of the judge on a GPU, instead of its recipe's few, which suit CPUs.
_JUDGE_STEPS = 2000


class TrainConfig(DataConfig):
    """Settings of `synthaug train`; the field descriptions are the help texts."""

    model: str = Field("ddpm", description="Kind of generator; see `synthaug models`.")
    out: Path = Field(description="Folder for the checkpoint, its logs and its sample grids.")
    preset: str | None = Field(None, description="Network and training settings; chosen by image size if not given.")
    images: Count | None = Field(
        None, description="Images to show to the network in all (500k, 2M), instead of the preset's."
    )
    batch_size: int | None = Field(None, description="Images per update of the weights, instead of the preset's.")
    learning_rate: float | None = Field(
        None, description="Learning rate (a DDPM's: its peak), instead of the preset's."
    )
    dropout: float | None = Field(None, description="Share of activations dropped, instead of the preset's.")
    ema_half_life: float | None = Field(
        None, description="Half-life of the weight average as a share of the images seen, instead of the preset's."
    )
    objective: Literal["epsilon", "v", "edm"] | None = Field(
        None, description="What a diffusion network predicts, instead of the preset's choice."
    )
    schedule: Literal["cosine", "linear"] | None = Field(
        None, description="Noise schedule of epsilon and v (default: cosine)."
    )
    min_snr: float | None = Field(None, description="Gamma of Min-SNR loss weighting for epsilon and v, such as 5.")
    label_dropout: float | None = Field(
        None, description="Probability of hiding a label, for a DDPM's classifier-free guidance (default: 0.1)."
    )
    discriminator_steps: int | None = Field(
        None, description="Updates of an ACGAN's discriminator for each of its generator, instead of the preset's."
    )
    diffaugment: str | None = Field(
        None,
        description="What an ACGAN's discriminator sees its images through: none, or a list of colour, translation, "
        "cutout; instead of the preset's.",
    )
    class_weight: float | None = Field(
        None, description="Weight of an ACGAN's class loss; much of it makes the samples of a class alike."
    )
    r1: float | None = Field(None, description="Gamma of the R1 penalty on an ACGAN's discriminator; 0 is none.")
    init: str | None = Field(
        None, description="Checkpoint to begin from, for other images or classes: a folder or a packaged name."
    )
    max_time: Duration | None = Field(
        None, description="Stop after this long (90s, 9m, 1h); continue with --resume auto."
    )
    grid_every: Count | None = Field(None, description="Images between two sample grids; ten grids if not given.")
    watch_every: Count | None = Field(
        None,
        description="Images between two measurements of samples by a small classifier (Frechet distance to the "
        "validation images, share recognised); twenty in all for an ACGAN or on a GPU if not given, else none.",
    )
    compile: bool | None = Field(
        None, description="Compile the network with torch.compile; if not given, on a GPU where the training is long."
    )
    resume: str | None = Field(
        None, description="auto continues the training in --out if there is one; PATH a state file."
    )
    logger: LoggerName = Field(
        "auto", description="Where metrics go besides CSV; auto takes TensorBoard if it is installed."
    )


@dataclass(frozen=True)
class TrainResult:
    """What a training came to.

    Attributes:
        checkpoint: Folder of the checkpoint.
        is_complete: False if --max-time ended it early.
        training: Figures of the training.
        loss_curve: (step, loss) over all runs into this folder.
    """

    checkpoint: Path
    is_complete: bool
    training: TrainingSummary
    loss_curve: list[tuple[int, float]]


def plan_training(config: TrainConfig) -> TrainPlan:
    """What `train` would do, without doing it.

    Raises:
        InputError: For any setting that `train` would refuse.
    """
    return _Job.of(config).plan


def train(config: TrainConfig) -> TrainResult:
    """Train a generator on the training part of a source; resumable, a DDPM on any number of processes.

    Raises:
        InputError: For impossible settings, or if the folder holds another training.
        TrainingError: If the loss is no longer a number, has risen far above what it was, or a discriminator has won.
    """
    if not is_main_process():
        stderr.quiet = True
    job = _Job.of(config)
    request, plan = job.request, job.plan
    images, runtime = request.images, request.runtime
    choices = ", ".join(f"{name} {value}" for name, value in plan.options.items())
    log(
        f"{config.model} preset {plan.preset} ({choices}): {plan.parameters / 1e6:.2f} M parameters, {len(images)} "
        f"images of {len(images.class_names)} classes; {plan.images:,} images to be shown in {plan.steps} steps of "
        f"{plan.batch_size * plan.batches_per_step} on {runtime.device} in {runtime.precision}"
        f"{', compiled' if runtime.compiled else ''}"
    )
    if is_main_process():
        (config.out / _STATE.parent).mkdir(parents=True, exist_ok=True)  # should it end before a state
        config.save(config.out)
    load_backend(config.model).train(job.monitored())
    card = read_card(config.out)
    return TrainResult(
        checkpoint=config.out,
        is_complete=card.training.is_complete,
        training=card.training,
        loss_curve=read_loss_curve(config.out),
    )


def read_loss_curve(checkpoint: Path) -> list[tuple[int, float]]:
    """(step, loss) from the CSV logs of all runs into a checkpoint folder, in order of steps."""
    points: dict[int, float] = {}
    for file in sorted((checkpoint / "logs").glob("version_*/metrics.csv"), key=lambda path: path.stat().st_mtime):
        with file.open(newline="") as rows:
            for row in csv.DictReader(rows):
                if row.get("loss"):
                    points[int(row["step"])] = float(row["loss"])
    return sorted(points.items())


@dataclass(frozen=True)
class _Job:
    """A request with what it comes to, and the split it was made from."""

    config: TrainConfig
    splits: Splits
    request: TrainRequest
    plan: TrainPlan

    @classmethod
    def of(cls, config: TrainConfig) -> _Job:
        backend, splits = load_backend(config.model), config.splits()
        names = ("objective", "schedule", "min_snr", "discriminator_steps", "class_weight", "diffaugment", "r1")
        request = TrainRequest(
            images=splits.train,
            split=splits.record,
            allows_flip=splits.allows_flip,
            preset=config.preset,
            out=config.out,
            runtime=Runtime.resolve(config.device, config.precision, compiled=bool(config.compile)),
            seed=config.seed,
            budget=config.images,
            batch_size=config.batch_size,
            learning_rate=config.learning_rate,
            dropout=config.dropout,
            ema_half_life=config.ema_half_life,
            options={name: value for name in names if (value := getattr(config, name)) is not None},
            label_dropout=config.label_dropout,
            init=None if config.init is None else find_checkpoint(config.init).folder,
            max_time=config.max_time,
            grid_every=config.grid_every,
            monitor_every=config.watch_every,
            resume_from=_state_to_resume(config),
            logger=config.logger,
        )
        plan = backend.plan(request)
        can_be_measured = len(splits.validation) >= MIN_REFERENCE
        if config.watch_every is not None and not can_be_measured:
            raise InputError(
                f"--watch-every needs at least {MIN_REFERENCE} validation images, found {len(splits.validation)}"
            )
        if request.runtime.device == "cuda":
            runtime, every = request.runtime, request.monitor_every
            if config.compile is None:
                runtime = replace(runtime, compiled=plan.images >= _WORTH_COMPILING)
            every = every or (max(1, plan.images // _LOOKS) if can_be_measured else None)
            request = replace(request, runtime=runtime, monitor_every=every)
        if plan.watch_every is not None and request.monitor_every is None and can_be_measured:
            request = replace(request, monitor_every=plan.watch_every)
        return cls(config, splits, request, plan)

    def monitored(self) -> TrainRequest:
        """The request, with a judge trained for it if samples are to be measured."""
        request = self.request
        if request.monitor_every is None or not is_main_process():  # only the first looks at samples
            if self.plan.watch_every is not None:
                log(
                    f"fewer than {MIN_REFERENCE} validation images: samples are not measured, the last weights are kept"
                )
            return request
        if _is_complete(self.config, self.plan):
            return request
        runtime = self.request.runtime
        judge = Judge.trained(self.splits, runtime, steps=_JUDGE_STEPS if runtime.device == "cuda" else None)
        log(f"the judge of samples classifies {100 * judge.validation_accuracy:.1f} % of the validation images right")
        return replace(self.request, monitor=judge.figures)


def _is_complete(config: TrainConfig, plan: TrainPlan) -> bool:
    return (config.out / CARD_NAME).is_file() and read_card(config.out).training.images_seen >= plan.images


def _state_to_resume(config: TrainConfig) -> Path | None:
    own = config.out / _STATE
    if config.resume is not None and config.resume != "auto":
        path = Path(config.resume)
        path = path / _STATE if path.is_dir() else path
        if not path.is_file():
            raise InputError(f"--resume {config.resume}: no training state there ({path})")
        return path
    if is_main_process():  # The others come when it may have begun.
        _check_out(config, own)
    return own if config.resume == "auto" and own.exists() else None


def _check_out(config: TrainConfig, own: Path) -> None:
    is_checkpoint = (config.out / CARD_NAME).exists()
    if not is_checkpoint:
        check_folder(config.out, marker=str(_STATE.parent), kind="training")
    if config.resume is None and (own.exists() or is_checkpoint):
        raise InputError(
            f"{config.out} already holds a training; continue it with --resume auto, or choose another --out"
        )
    if config.resume == "auto" and is_checkpoint and not own.exists():
        raise InputError(f"{config.out} holds a checkpoint without training state; choose another --out")
