import hashlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import _api, resnet18

from synthaug.classifiers import pretrained as pretrained_module
from synthaug.classifiers.networks import Architecture, ImageClassifier, build_network
from synthaug.classifiers.pretrained import PretrainedWeights
from synthaug.core.errors import DamageError, InputError
from tests.classifiers.classifiers import save

IMAGENET_LIKE = Architecture("resnet18", "imagenet")
CLASSES = tuple("abcde")


@pytest.fixture(scope="module")
def original() -> nn.Module:
    """A ResNet-18 of torchvision's that has seen some images."""
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(5)
        network = resnet18(num_classes=1000).train()
        network(torch.rand(4, 3, 64, 64))
        return network.eval()


def network_of(architecture: Architecture, *, channels: int = 3, classes: int = 5) -> ImageClassifier:
    return build_network(architecture, channels=channels, classes=classes, seed=0).eval()


def features(network: nn.Module, images: Tensor) -> Tensor:
    """What the last layer of a torchvision network sees."""
    seen: list[Tensor] = []
    handle = network.fc.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network(images)
    handle.remove()
    return seen[0]


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_weights_of_torchvision_give_its_features(ending: str, original: nn.Module, tmp_path: Path) -> None:
    path, images = tmp_path / f"weights.{ending}", torch.rand(2, 3, 64, 64)
    write = save_file if ending == "safetensors" else torch.save
    write(original.state_dict(), path)
    network = network_of(IMAGENET_LIKE)
    head = network.head.weight.clone()
    names = PretrainedWeights.find(str(path), IMAGENET_LIKE).load_into(network, CLASSES)
    with torch.no_grad():
        torch.testing.assert_close(network.features(images), features(original, images))
    assert torch.equal(network.head.weight, head)  # of other classes
    assert names == {name for name in network.state_dict() if name.startswith("backbone.")}


def test_a_head_for_as_many_classes_is_taken(original: nn.Module) -> None:
    images = torch.rand(1, 3, 64, 64)
    found = PretrainedWeights("imagenet", _named(original), None)
    network = network_of(IMAGENET_LIKE, classes=1000)
    found.load_into(network, tuple(map(str, range(1000))))
    with torch.no_grad():
        torch.testing.assert_close(network(images), original(images))


def test_grey_images_are_seen_as_three_equal_channels(original: nn.Module) -> None:
    grey, network = torch.rand(1, 1, 64, 64), network_of(IMAGENET_LIKE, channels=1)
    names = PretrainedWeights("imagenet", _named(original), None).load_into(network, CLASSES)
    assert "backbone.conv1.weight" in names
    with torch.no_grad():
        torch.testing.assert_close(network.features(grey), features(original, grey.expand(-1, 3, -1, -1)))


def test_a_small_stem_stays_new(original: nn.Module) -> None:
    network = network_of(Architecture("resnet18"))
    names = PretrainedWeights("imagenet", _named(original), None).load_into(network, CLASSES)
    new = network.state_dict().keys() - names
    assert new == {"backbone.conv1.weight", "head.weight", "head.bias"}


def test_weights_of_another_network_are_refused(original: nn.Module) -> None:
    found = PretrainedWeights("weights.pth", _named(original), None)
    for architecture in (Architecture("resnet34", "imagenet"), Architecture("resnet20")):
        with pytest.raises(InputError, match=r"--pretrained weights.pth: the weights of another network were found"):
            found.load_into(network_of(architecture), CLASSES)


def test_a_classifier_goes_on_where_it_was_and_new_attention_is_new(tmp_path: Path) -> None:
    plain = Architecture("resnet20")
    trained = build_network(plain, channels=1, classes=10, seed=7).eval()
    save(trained, plain, tmp_path)
    attentive = Architecture("resnet20", attention="self")
    network = build_network(attentive, channels=1, classes=10, seed=1).eval()
    names = PretrainedWeights.find(str(tmp_path), attentive).load_into(network, tuple("0123456789"))
    images = torch.rand(3, 1, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(network(images), trained(images))
    assert names == set(trained.state_dict())


@pytest.mark.parametrize("change", [{"attention": "self"}, {"attention_heads": 2}, {"attention_patch": 2}], ids=str)
def test_attention_of_another_kind_is_left_behind_as_a_whole(change: dict[str, Any], tmp_path: Path) -> None:
    graph = Architecture("resnet20", attention="graph")
    trained = build_network(graph, channels=1, classes=10, seed=7).eval()
    torch.nn.init.ones_(trained.attention.output.weight)
    save(trained, graph, tmp_path)
    other = replace(graph, **change)
    network = build_network(other, channels=1, classes=10, seed=1).eval()
    names = PretrainedWeights.find(str(tmp_path), other).load_into(network, tuple("0123456789"))
    assert not any(name.startswith("attention.") for name in names)
    images = torch.rand(3, 1, 16, 16)
    with torch.no_grad():
        plain = trained.head(trained.backbone(images).mean(dim=(2, 3)))
        torch.testing.assert_close(network(images), plain)
    same = build_network(graph, channels=1, classes=10, seed=1)
    assert PretrainedWeights.find(str(tmp_path), graph).load_into(same, tuple("0123456789")) == set(same.state_dict())


def test_the_head_of_other_classes_is_left_behind_even_if_there_are_as_many(tmp_path: Path) -> None:
    plain = Architecture("resnet20")
    save(build_network(plain, channels=1, classes=10, seed=7), plain, tmp_path)
    network = build_network(plain, channels=1, classes=10, seed=1)
    names = PretrainedWeights.find(str(tmp_path), plain).load_into(network, tuple("abcdefghij"))
    assert network.state_dict().keys() - names == {"head.weight", "head.bias"}


@pytest.mark.parametrize(
    ("content", "kind", "complaint"),
    [
        (b"nonsense", DamageError, "is damaged, or no plain file of weights"),
        (b"hello world", DamageError, "is damaged, or no plain file of weights"),
        (b"\x80\x02.", DamageError, "is damaged, or no plain file of weights"),
        ({"model": {"conv1.weight": torch.zeros(1)}}, InputError, "a state dict of a torchvision ResNet is needed"),
        (print, DamageError, "is damaged, or no plain file of weights"),  # would run something
    ],
    ids=["noise", "text", "empty pickle", "nested", "function"],
)
def test_files_that_hold_no_weights_are_refused(
    content: Any, kind: type[Exception], complaint: str, tmp_path: Path
) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(kind, match=complaint):
        PretrainedWeights.find(str(path), IMAGENET_LIKE)


def test_what_is_neither_a_name_nor_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"imagenet, the folder of a classifier or a file of weights is needed"):
        PretrainedWeights.find(str(tmp_path / "nothing"), IMAGENET_LIKE)


def test_weights_are_downloaded_where_they_are_checked_and_nothing_is_run(
    original: nn.Module, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SYNTHAUG_HOME", str(tmp_path))
    asked: list[dict[str, Any]] = []

    def pretend(url: str, **options: Any) -> dict[str, Tensor]:
        asked.append({"url": url, **options})
        return original.state_dict()

    monkeypatch.setattr(_api, "load_state_dict_from_url", pretend)
    found = PretrainedWeights.find("imagenet", IMAGENET_LIKE)
    assert found.is_imagenet
    assert found.load_into(network_of(IMAGENET_LIKE), CLASSES)
    [options] = asked
    assert "resnet18" in options["url"]
    assert options["check_hash"] is options["weights_only"] is True
    assert Path(options["model_dir"]).is_relative_to(tmp_path)


def test_a_damaged_download_is_to_be_deleted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SYNTHAUG_HOME", str(tmp_path))

    def fail(url: str, **_: Any) -> None:
        raise RuntimeError("invalid hash value")

    monkeypatch.setattr(_api, "load_state_dict_from_url", fail)
    with pytest.raises(DamageError, match=rf"is damaged; delete {tmp_path}.* and try again"):
        PretrainedWeights.find("imagenet", IMAGENET_LIKE)


def test_files_are_known_by_their_hash(original: nn.Module, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    torch.save(original.state_dict(), tmp_path / "weights.pth")
    assert not PretrainedWeights.find(str(tmp_path / "weights.pth"), IMAGENET_LIKE).is_known
    found = hashlib.sha256((tmp_path / "weights.pth").read_bytes()).hexdigest()
    offered = [SimpleNamespace(url=f"https://example.org/resnet18-{found[:8]}.pth")]
    monkeypatch.setattr(pretrained_module, "get_model_weights", lambda _: offered)
    assert PretrainedWeights.find(str(tmp_path / "weights.pth"), IMAGENET_LIKE).is_known


def test_without_a_network_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(url: str, **_: Any) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr(_api, "load_state_dict_from_url", fail)
    with pytest.raises(InputError, match=r"could not be downloaded .*--pretrained PATH.pth"):
        PretrainedWeights.find("imagenet", IMAGENET_LIKE)


@pytest.mark.parametrize("name", ["resnet20", "resnet56", "cifarnet"])
def test_there_are_no_weights_of_imagenet_for_networks_of_small_images(name: str) -> None:
    with pytest.raises(InputError, match=f"there are weights for resnet18 and resnet34, not {name}"):
        PretrainedWeights.find("imagenet", Architecture(name))


def _named(original: nn.Module) -> dict[str, Tensor]:
    """Weights by their names in an `ImageClassifier`."""
    return {
        name.replace("fc.", "head.") if name.startswith("fc.") else f"backbone.{name}": value
        for name, value in original.state_dict().items()
    }
