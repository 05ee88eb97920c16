"""Short trainings that several tests begin with."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from synthaug.classifiers.networks import build_network
from synthaug.classifiers.recipes import Recipe
from synthaug.classifiers.task import TrainedClassifier, predict, train_classifier
from synthaug.core.runtime import Runtime
from synthaug.core.types import LabelledImages
from synthaug.data.datamodule import MixedDataModule
from synthaug.data.mixture import Mixture
from synthaug.data.splits import Splits

CPU = Runtime("cpu", "fp32")
RECIPE = Recipe("test", "resnet20", batch_size=16, optimiser="sgd", learning_rate=0.1, weight_decay=5e-4, steps=8)


def digits_network(seed: int = 0) -> nn.Module:
    return build_network("resnet20", channels=1, classes=10, seed=seed)


def train(
    network: nn.Module,
    splits: Splits,
    root: Path,
    recipe: Recipe = RECIPE,
    *,
    on_step: Callable[[int], None] = lambda step: None,
) -> TrainedClassifier:
    datamodule = MixedDataModule(splits, mixture=Mixture(batch_size=recipe.batch_size, seed=3))
    return train_classifier(network, datamodule, recipe, runtime=CPU, root=root, on_step=on_step)


def accuracy(network: nn.Module, part: LabelledImages) -> float:
    predicted = predict(network, part.images, CPU).argmax(dim=1)
    return int((predicted == part.labels).sum()) / len(part)


class Scripted(nn.Module):
    """Counts its training steps, and after step s classifies the first `script[s]` of four images right, no others."""

    steps: Tensor

    def __init__(self, script: list[int]) -> None:
        super().__init__()
        self.script = script
        self.weight = nn.Parameter(torch.zeros(2))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            self.steps += 1
            return self.weight.expand(len(images), 2)
        is_class_1 = (torch.arange(len(images)) < self.script[int(self.steps)]).long()
        return nn.functional.one_hot(is_class_1, 2).float()
