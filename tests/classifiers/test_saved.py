import json
from pathlib import Path

import pytest
import torch

from synthaug.classifiers.networks import Architecture, ImageClassifier, build_network
from synthaug.classifiers.saved import CARD_NAME, WEIGHTS_NAME, read_classifier
from synthaug.core.errors import DamageError, InputError
from tests.classifiers.classifiers import save

ATTENTIVE = Architecture("resnet20", attention="graph", attention_patch=2, attention_heads=2)


def network_of(architecture: Architecture | str, seed: int = 3) -> ImageClassifier:
    network = build_network(architecture, channels=1, classes=10, seed=seed)
    network.train()(torch.rand(8, 1, 8, 8))  # so that the statistics are not the first ones
    return network.eval()


@pytest.mark.parametrize("architecture", [ATTENTIVE, Architecture("cifarnet"), Architecture("resnet18", "imagenet")])
def test_a_saved_classifier_comes_back_as_it_was(architecture: Architecture, tmp_path: Path) -> None:
    network = network_of(architecture)
    card = save(network, architecture, tmp_path)
    back, read = read_classifier(tmp_path)
    assert read == card
    assert not back.training
    images = torch.rand(4, 1, 32, 32)
    with torch.no_grad():
        assert torch.equal(back(images), network(images))


def test_a_folder_without_a_classifier_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no classifier .* synthaug classify --out DIR"):
        read_classifier(tmp_path)


def test_damage_is_noticed(tmp_path: Path) -> None:
    save(network_of("resnet20"), Architecture("resnet20"), tmp_path)
    weights, card = (tmp_path / WEIGHTS_NAME).read_bytes(), json.loads((tmp_path / CARD_NAME).read_text())
    (tmp_path / WEIGHTS_NAME).write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    with pytest.raises(DamageError, match="its sha256 is not the one"):
        read_classifier(tmp_path)
    (tmp_path / WEIGHTS_NAME).write_bytes(weights)
    for change in ({"architecture": {**card["architecture"], "network": "resnet56"}}, {"channels": 3}):
        (tmp_path / CARD_NAME).write_text(json.dumps({**card, **change}))
        with pytest.raises(DamageError, match="not of one classifier"):
            read_classifier(tmp_path)
    for strange in ({"attention_heads": "many"}, {"stem": "huge"}):
        (tmp_path / CARD_NAME).write_text(json.dumps({**card, "architecture": {**card["architecture"], **strange}}))
        with pytest.raises(DamageError, match="damaged or of another version"):
            read_classifier(tmp_path)
    (tmp_path / CARD_NAME).write_text("{")
    with pytest.raises(DamageError, match="damaged or of another version"):
        read_classifier(tmp_path)
