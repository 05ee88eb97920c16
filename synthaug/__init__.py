"""Does synthetic data help my classifier, by how much, and where is the set I can use?

The public API: sources and splits of labelled images, generators that learn from them, shard sets that hold what the
generators draw, a DataModule that mixes both, and a bench that measures what the mixture is worth.
"""

from synthaug.core.errors import DamageError, InputError, StorageError, SynthaugError, TrainingError
from synthaug.core.runtime import Runtime
from synthaug.core.types import LabelledImages, SplitRecord
from synthaug.core.version import __version__
from synthaug.data.datamodule import Batch, MixedDataModule
from synthaug.data.sources import Source, load_source
from synthaug.data.splits import Splits, make_splits
from synthaug.generators.base import Generator, GeneratorSpec, SamplerSettings, load_backend
from synthaug.shards.manifest import Manifest
from synthaug.shards.reader import read_set
from synthaug.shards.verify import Verification, verify_set
from synthaug.workflows.bench import BenchConfig, BenchSummary, bench
from synthaug.workflows.classify import ClassifyConfig, ClassifyResult, classify
from synthaug.workflows.report import report
from synthaug.workflows.synthesize import GenerateConfig, GenerateResult, generate
from synthaug.workflows.train import TrainConfig, TrainResult, train

__all__ = [
    "Batch",
    "BenchConfig",
    "BenchSummary",
    "ClassifyConfig",
    "ClassifyResult",
    "DamageError",
    "GenerateConfig",
    "GenerateResult",
    "Generator",
    "GeneratorSpec",
    "InputError",
    "LabelledImages",
    "Manifest",
    "MixedDataModule",
    "Runtime",
    "SamplerSettings",
    "Source",
    "SplitRecord",
    "Splits",
    "StorageError",
    "SynthaugError",
    "TrainConfig",
    "TrainResult",
    "TrainingError",
    "Verification",
    "__version__",
    "bench",
    "classify",
    "generate",
    "load_backend",
    "load_source",
    "make_splits",
    "read_set",
    "report",
    "train",
    "verify_set",
]
