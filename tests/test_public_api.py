import importlib.metadata
import importlib.resources
import inspect

import pytest

import synthaug

NAMES = [
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
DOCUMENTED = [name for name in NAMES if name != "__version__"]


def test_public_names_are_these_in_order() -> None:
    assert synthaug.__all__ == NAMES
    assert sorted(NAMES) == NAMES


def test_nothing_but_the_public_names_is_imported_into_the_package() -> None:
    imported = {
        name
        for name, value in vars(synthaug).items()
        if not name.startswith("_") and not inspect.ismodule(value) and getattr(value, "__module__", "") != "__future__"
    }
    assert imported == set(DOCUMENTED)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_public_name_is_documented(name: str) -> None:
    text = inspect.getdoc(getattr(synthaug, name)) or ""
    assert text.split("\n\n")[0].endswith((".", "?"))
    assert not text.startswith(f"{name}("), "only the signature that dataclasses write"


@pytest.mark.parametrize("name", [name for name in DOCUMENTED if inspect.isfunction(getattr(synthaug, name))])
def test_public_function_is_annotated(name: str) -> None:
    signature = inspect.signature(getattr(synthaug, name))
    assert signature.return_annotation is not inspect.Signature.empty
    assert all(entry.annotation is not inspect.Parameter.empty for entry in signature.parameters.values())


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith("Error")])
def test_errors_have_one_root(name: str) -> None:
    assert issubclass(getattr(synthaug, name), synthaug.SynthaugError)


def test_version_is_that_of_the_installed_package() -> None:
    assert synthaug.__version__ == importlib.metadata.version("synthaug")


def test_package_says_that_it_is_typed() -> None:
    assert (importlib.resources.files("synthaug") / "py.typed").is_file()
