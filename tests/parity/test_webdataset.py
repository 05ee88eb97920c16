"""Plain webdataset yields every sample of a set with the bytes that stand in its shards, also in its secure mode."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from synthaug.shards.reader import iterate_shard
from tests.conftest import MakeShardSet

OFFLINE = Path(__file__).parent.parent / "offline.py"
# In a process of its own: the secure mode is decided at import, and webdataset leaves its shards to the collector.
_READ = """
import hashlib, json, sys
import webdataset
from torch.utils.data import DataLoader

def digest(sample):
    fields = {name: value for name, value in sample.items() if not name.startswith("__")}
    return sample["__key__"], {name: hashlib.sha256(value).hexdigest() for name, value in fields.items()}

def decoded(sample):
    return sample["__key__"], {"cls": sample["cls"], "json": sample["json"], "size": sample[sys.argv[2]].size}

found = {}
for workers in (0, 2):
    for name, change in (("raw", digest), ("decoded", decoded)):
        samples = webdataset.WebDataset(sys.argv[1], shardshuffle=False)
        samples = (samples if name == "raw" else samples.decode("pil")).map(change)
        found[f"{name} {workers}"] = sorted(DataLoader(samples, batch_size=None, num_workers=workers))
print(json.dumps({"is_secure": webdataset.utils.enforce_security, **found}))
"""


@pytest.mark.parametrize(("secure", "image_format"), [("0", "webp"), ("1", "png")])
def test_webdataset_yields_every_sample_with_equal_bytes(
    secure: str, image_format: str, make_shard_set: MakeShardSet
) -> None:
    made: Path = make_shard_set(class_names=("a.b", "ünï"), per_class=10, shard_size=6, image_format=image_format)
    samples = [sample for path in sorted(made.glob("*.tar")) for sample in iterate_shard(path)]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(OFFLINE), "-", str(made / "train-{000000..000003}.tar"), image_format],
        input=_READ,
        env={**os.environ, "WDS_SECURE": secure, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.pop("is_secure") is (secure == "1")
    hashes = [
        [
            sample.key,
            {
                image_format: hashlib.sha256(sample.image).hexdigest(),
                "cls": hashlib.sha256(str(sample.label).encode()).hexdigest(),
                "json": hashlib.sha256(sample.description).hexdigest(),
            },
        ]
        for sample in samples
    ]
    values = [
        [sample.key, {"cls": sample.label, "json": json.loads(sample.description), "size": [8, 8]}]
        for sample in samples
    ]
    assert len(samples) == 20
    assert found == {"raw 0": hashes, "raw 2": hashes, "decoded 0": values, "decoded 2": values}
