"""Two gloo processes train on one mixture through Lightning."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from synthaug.data.splits import Splits
from tests.data.modules import ids, planned
from tests.e2e.commands import TORCHRUN

_RANK = """
import json, sys
import torch
import lightning.pytorch as pl
from lightning.fabric.plugins.environments import TorchElasticEnvironment
from lightning.pytorch.strategies import DDPStrategy
from tests.data.modules import Recorder, ids, module_of, trainer_of
from tests.conftest import make_splits, load_source
from pathlib import Path

class Batched(Recorder):
    def __init__(self):
        super().__init__()
        self.network = torch.nn.BatchNorm2d(1)  # its buffers are sent around in every step

    def training_step(self, batch, batch_idx):
        super().training_step(batch, batch_idx)
        return self.network(batch.images).square().mean() + self.weight.sum()

    def validation_step(self, batch, batch_idx):
        super().validation_step(batch, batch_idx)
        self.log("seen", float(len(batch.labels)), sync_dist=True, on_step=True)

recorder = Batched()
module = module_of(make_splits(load_source("digits"), per_class_real=20), batch_size=24)
strategy = DDPStrategy(process_group_backend="gloo", cluster_environment=TorchElasticEnvironment())
trainer = trainer_of(Path(sys.argv[1]), max_epochs=2, devices=2, strategy=strategy, limit_val_batches=1.0)
trainer.fit(recorder, datamodule=module)
found = {
    "rank": trainer.global_rank,
    "trained": [ids(batch) for batch in recorder.trained],
    "validated": [ids(batch) for batch in recorder.validated],
    "fraction": float(trainer.callback_metrics["synthetic_fraction"]),
}
Path(sys.argv[1], f"rank{trainer.global_rank}.json").write_text(json.dumps(found))
"""


def test_two_processes_share_an_epoch_without_waiting_for_each_other(digits_splits: Splits, tmp_path: Path) -> None:
    (tmp_path / "rank.py").write_text(_RANK)
    done = subprocess.run(
        [*TORCHRUN, "2", str(tmp_path / "rank.py"), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    ranks = [json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in range(2)]
    assert [len(rank["trained"]) for rank in ranks] == [10, 10]  # ceil(200 / 48) steps in each of two epochs
    steps = zip(*(rank["trained"] for rank in ranks), strict=True)
    joined = [tuple(pair) for step in steps for part in step for pair in part]
    whole = [pair for epoch in planned(digits_splits, 2, batch_size=48) for batch in epoch for pair in ids(batch)]
    assert joined == whole
    real = [index for source, index in joined if source == 0]
    assert len(set(real[:200])) == 200
    assert [len(rank["validated"]) for rank in ranks] == [2, 2]
    validated = [tuple(pair) for rank in ranks for part in rank["validated"][:1] for pair in part]
    assert sorted(validated) == [(0, index) for index in range(len(digits_splits.validation))]
    assert [rank["fraction"] for rank in ranks] == pytest.approx([0.3, 0.3], abs=0.01)
