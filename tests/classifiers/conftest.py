from collections.abc import Callable

import pytest
import torch

from synthaug.core.types import LabelledImages
from synthaug.data.sources import load_source
from synthaug.data.splits import Splits, make_splits


@pytest.fixture
def four_to_validate(make_images: Callable[..., LabelledImages]) -> Splits:
    """Splits whose four validation images are all of class 1."""
    pool = make_images(per_class=8)
    validation = LabelledImages.of(pool.images[:4], torch.ones(4, dtype=torch.int64), pool.class_names, "validation")
    record = make_splits(load_source("digits"), per_class_real=1).record
    return Splits(pool, validation, pool, record, allows_flip=True)
