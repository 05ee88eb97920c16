"""Imported once, by the process that others are forked from: all that a bench needs, and a quick network.

Not for the process that runs the tests, where the network must not outlive a test.
"""

from __future__ import annotations

import lightning.pytorch  # noqa: F401
import sklearn.datasets  # noqa: F401
import torch

import synthaug.workflows.bench  # noqa: F401
from synthaug.classifiers.networks import NETWORKS
from tests.workflows.perceptron import Hidden

torch.set_num_threads(1)
NETWORKS._values["perceptron"] = lambda channels, stem: Hidden(channels)
