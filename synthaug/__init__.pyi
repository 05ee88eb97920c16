from .core.errors import DamageError, InputError, StorageError, SynthaugError, TrainingError
from .core.runtime import Runtime
from .core.types import LabelledImages, SplitRecord
from .core.version import __version__
from .data.amounts import Amount, FractionSchedule
from .data.datamodule import MixedDataModule
from .data.evaluation import EvaluationLoader
from .data.loader import MixedLoader, mixed_loader
from .data.mixture import Batch, Mixture, Synthetic
from .data.sources import Source, load_source
from .data.splits import Splits, make_splits
from .generators.acgan.pipeline import ACGANPipeline
from .generators.base import Generator, GeneratorSpec, SamplerSettings, load_backend
from .generators.ddpm.pipeline import ClassConditionalDDPMPipeline
from .shards.manifest import Manifest
from .shards.reader import read_set
from .shards.verify import Verification, verify_set
from .workflows.bench import BenchConfig, BenchSummary, bench
from .workflows.classify import ClassifyConfig, ClassifyResult, classify
from .workflows.curate import CurateConfig, CurateResult, curate
from .workflows.evaluate import EvaluateConfig, EvaluateResult, evaluate
from .workflows.explain import ExplainConfig, ExplainResult, explain
from .workflows.report import report
from .workflows.run import RunConfig, RunResult, run
from .workflows.synthesize import GenerateConfig, GenerateResult, generate
from .workflows.train import TrainConfig, TrainResult, train

__all__ = [
    "ACGANPipeline",
    "Amount",
    "Batch",
    "BenchConfig",
    "BenchSummary",
    "ClassConditionalDDPMPipeline",
    "ClassifyConfig",
    "ClassifyResult",
    "CurateConfig",
    "CurateResult",
    "DamageError",
    "EvaluateConfig",
    "EvaluateResult",
    "EvaluationLoader",
    "ExplainConfig",
    "ExplainResult",
    "FractionSchedule",
    "GenerateConfig",
    "GenerateResult",
    "Generator",
    "GeneratorSpec",
    "InputError",
    "LabelledImages",
    "Manifest",
    "MixedDataModule",
    "MixedLoader",
    "Mixture",
    "RunConfig",
    "RunResult",
    "Runtime",
    "SamplerSettings",
    "Source",
    "SplitRecord",
    "Splits",
    "StorageError",
    "SynthaugError",
    "Synthetic",
    "TrainConfig",
    "TrainResult",
    "TrainingError",
    "Verification",
    "__version__",
    "bench",
    "classify",
    "curate",
    "evaluate",
    "explain",
    "generate",
    "load_backend",
    "load_source",
    "make_splits",
    "mixed_loader",
    "read_set",
    "report",
    "run",
    "train",
    "verify_set",
]
