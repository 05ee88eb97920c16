from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

from synthaug.core.errors import InputError
from synthaug.core.pixels import to_network
from synthaug.core.runtime import Runtime
from synthaug.core.training import fit
from synthaug.data.splits import Splits
from tests.data.modules import Recorder, ids, module_of, planned, trainer_of

pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning:lightning", "ignore:.*LeafSpec.*")


def test_lightning_trains_on_what_a_plain_loop_would(digits_splits: Splits, tmp_path: Path) -> None:
    recorder = Recorder()
    trainer_of(tmp_path, max_epochs=2, limit_val_batches=1.0).fit(recorder, datamodule=module_of(digits_splits))
    expected = [batch for epoch in planned(digits_splits, 2) for batch in epoch]
    assert len(recorder.trained) == len(expected) == 14
    for got, wanted in zip(recorder.trained, expected, strict=True):
        assert all(torch.equal(one, other) for one, other in zip(got, wanted, strict=True))
    validated = torch.cat([batch.images for batch in recorder.validated])
    assert torch.equal(validated, to_network(digits_splits.validation.images).repeat(2, 1, 1, 1))
    assert not any(batch.is_synthetic.any() for batch in recorder.validated)


def test_trainings_counted_in_steps_see_successive_epochs(digits_splits: Splits, tmp_path: Path) -> None:
    recorder = Recorder()
    fit(
        recorder,
        datamodule=module_of(digits_splits),
        runtime=Runtime("cpu", "fp32"),
        steps=10,
        root=tmp_path,
        on_step=lambda step: None,
        validate_every=5,
    )
    expected = [ids(batch) for epoch in planned(digits_splits, 2) for batch in epoch]
    assert [ids(batch) for batch in recorder.trained] == expected[:10]
    assert len(torch.cat([batch.labels for batch in recorder.validated])) == 2 * len(digits_splits.validation)


def test_the_test_images_are_those_of_the_split(digits_splits: Splits, tmp_path: Path) -> None:
    recorder = Recorder()
    trainer_of(tmp_path).test(recorder, datamodule=module_of(digits_splits), verbose=False)
    assert torch.equal(torch.cat([batch.images for batch in recorder.tested]), to_network(digits_splits.test.images))
    without_trainer = module_of(digits_splits)
    assert torch.equal(
        torch.cat([batch.labels for batch in without_trainer.test_dataloader()]), digits_splits.test.labels
    )
    found = torch.cat([batch.labels for batch in without_trainer.val_dataloader()])
    assert torch.equal(found, digits_splits.validation.labels)


def test_lengths_are_honest_and_limits_are_kept(digits_splits: Splits, tmp_path: Path) -> None:
    for limit, steps in ((1.0, 7), (3, 3), (0.5, 3)):
        recorder, module = Recorder(), module_of(digits_splits)
        trainer = trainer_of(tmp_path, max_epochs=2, limit_train_batches=limit, limit_val_batches=1)
        trainer.fit(recorder, datamodule=module)
        assert len(module.loader or ()) == 7
        assert trainer.global_step == 2 * steps == len(recorder.trained)
        expected = [ids(batch) for epoch in planned(digits_splits, 2) for batch in epoch[:steps]]
        assert [ids(batch) for batch in recorder.trained] == expected
        assert len(recorder.validated) == 2


def test_reloading_the_batches_in_every_epoch_does_not_repeat_the_first(digits_splits: Splits, tmp_path: Path) -> None:
    recorder = Recorder()
    trainer = trainer_of(tmp_path, max_epochs=2, reload_dataloaders_every_n_epochs=1)
    trainer.fit(recorder, datamodule=module_of(digits_splits))
    expected = [ids(batch) for epoch in planned(digits_splits, 2) for batch in epoch]
    assert [ids(batch) for batch in recorder.trained] == expected


def test_a_sequence_of_trainings_begins_anew(digits_splits: Splits, tmp_path: Path) -> None:
    module, recorder = module_of(digits_splits), Recorder()
    for _ in range(2):
        trainer_of(tmp_path, max_epochs=1).fit(recorder, datamodule=module)
    assert [ids(batch) for batch in recorder.trained[:7]] == [ids(batch) for batch in recorder.trained[7:]]


@pytest.mark.parametrize(
    ("limits", "shares"),
    [
        ({"max_epochs": 3}, [24] * 7 + [16] * 7 + [8] * 7),
        ({"max_steps": 21, "max_epochs": -1}, [24] * 7 + [16] * 7 + [8] * 7),
        ({"max_steps": 21, "max_epochs": 100}, [24] * 7 + [16] * 7 + [8] * 7),
        ({"max_steps": 8, "max_epochs": -1, "accumulate_grad_batches": 4}, [24] * 7 + [19] * 4 + [18] * 3),
        ({"max_steps": 9, "max_epochs": -1, "limit_train_batches": 3}, [24] * 3 + [16] * 3 + [8] * 3),
        ({"max_epochs": 3, "limit_train_batches": 0.3}, [24] * 2 + [16] * 2 + [8] * 2),
    ],
    ids=str,
)
def test_a_fraction_changes_over_the_epochs_of_the_trainer(
    digits_splits: Splits, tmp_path: Path, limits: dict[str, Any], shares: list[int]
) -> None:
    recorder = Recorder()
    trainer_of(tmp_path, **limits).fit(recorder, datamodule=module_of(digits_splits, synthetic_fraction="0.75:0.25"))
    found = [int(batch.is_synthetic.sum()) for batch in recorder.trained]
    if "accumulate_grad_batches" in limits:  # two steps an epoch, four epochs
        assert [sum(found[start : start + 7]) for start in range(0, 28, 7)] == [168, 131, 93, 56]
    else:
        assert found == shares


def test_the_observed_fraction_of_each_epoch_is_logged(digits_splits: Splits, tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    trainer = trainer_of(tmp_path, logger=logger, log_every_n_steps=1, max_epochs=3)
    trainer.fit(Recorder(), datamodule=module_of(digits_splits, synthetic_fraction="0.75:0.25 linear"))
    lines = (Path(logger.log_dir) / "metrics.csv").read_text().splitlines()
    column = lines[0].split(",").index("synthetic_fraction")
    logged = [float(line.split(",")[column]) for line in lines[1:] if line.split(",")[column]]
    assert logged == [0.75, 0.5, 0.25]
    assert float(trainer.callback_metrics["synthetic_fraction"]) == 0.25


def test_a_fraction_that_changes_needs_an_end(digits_splits: Splits, tmp_path: Path) -> None:
    module, recorder = module_of(digits_splits, synthetic_fraction="0.75:0.25"), Recorder()
    trainer = trainer_of(
        tmp_path, max_epochs=-1, max_time={"seconds": 1}, limit_val_batches=1.0, num_sanity_val_steps=1
    )
    with pytest.raises(InputError, match="needs the number of epochs"):
        trainer.fit(recorder, datamodule=module)
    assert recorder.validated == []  # nothing has begun


def test_overfitting_sees_the_same_batches_in_every_epoch(digits_splits: Splits, tmp_path: Path) -> None:
    recorder = Recorder()
    trainer_of(tmp_path, max_epochs=3, overfit_batches=2).fit(recorder, datamodule=module_of(digits_splits))
    seen = [ids(batch) for batch in recorder.trained]
    assert seen[:2] == seen[2:4] == seen[4:] == [ids(batch) for batch in planned(digits_splits, 1)[0][:2]]


# --- going on ---


@pytest.mark.parametrize("stop", [1, 4, 7, 9, 14])
def test_a_training_resumed_from_a_checkpoint_goes_on_with_the_next_batch(
    digits_splits: Splits, tmp_path: Path, stop: int
) -> None:
    keep = ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=stop, save_top_k=-1)
    first = Recorder()
    trainer_of(tmp_path, keep, max_steps=stop, max_epochs=-1).fit(first, datamodule=module_of(digits_splits))
    [kept] = tmp_path.glob("*.ckpt")
    second = Recorder()
    trainer = trainer_of(tmp_path, max_epochs=3)
    trainer.fit(second, datamodule=module_of(digits_splits), ckpt_path=kept, weights_only=True)
    expected = [ids(batch) for epoch in planned(digits_splits, 3) for batch in epoch]
    assert [ids(batch) for batch in [*first.trained, *second.trained]] == expected
    assert trainer.global_step == 21


@pytest.mark.parametrize("stop", [1, 3, 4, 6])
def test_a_training_on_a_part_of_each_epoch_goes_on_with_the_next_batch(
    digits_splits: Splits, tmp_path: Path, stop: int
) -> None:
    keep = ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=stop, save_top_k=-1)
    limit, first, second = {"limit_train_batches": 3}, Recorder(), Recorder()
    trainer_of(tmp_path, keep, max_steps=stop, max_epochs=-1, **limit).fit(first, datamodule=module_of(digits_splits))
    [kept] = tmp_path.glob("*.ckpt")
    trainer = trainer_of(tmp_path, max_epochs=3, **limit)
    trainer.fit(second, datamodule=module_of(digits_splits), ckpt_path=kept, weights_only=True)
    expected = [ids(batch) for epoch in planned(digits_splits, 3) for batch in epoch[:3]]
    assert [ids(batch) for batch in [*first.trained, *second.trained]] == expected


def test_a_checkpoint_that_was_tested_does_not_move_the_next_training(digits_splits: Splits, tmp_path: Path) -> None:
    keep, module = ModelCheckpoint(tmp_path, every_n_train_steps=3), module_of(digits_splits)
    trainer = trainer_of(tmp_path, keep, max_steps=3)
    trainer.fit(Recorder(), datamodule=module)
    trainer.test(Recorder(), datamodule=module, ckpt_path=keep.best_model_path, verbose=False, weights_only=True)
    recorder = Recorder()
    trainer_of(tmp_path, max_epochs=1).fit(recorder, datamodule=module)
    assert [ids(batch) for batch in recorder.trained] == [ids(batch) for batch in planned(digits_splits, 1)[0]]


def test_a_checkpoint_of_another_mixture_is_refused(digits_splits: Splits, tmp_path: Path) -> None:
    keep = ModelCheckpoint(tmp_path, every_n_train_steps=3)
    trainer_of(tmp_path, keep, max_steps=3).fit(Recorder(), datamodule=module_of(digits_splits))
    [kept] = tmp_path.glob("*.ckpt")
    for change, message in (({"seed": 5}, "mixed other images"), ({"batch_size": 16}, "took 32 images in a step")):
        with pytest.raises(InputError, match=message):
            trainer_of(tmp_path, max_steps=6).fit(
                Recorder(), datamodule=module_of(digits_splits, **change), ckpt_path=kept, weights_only=True
            )
