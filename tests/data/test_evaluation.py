import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from synthaug.core.errors import InputError
from synthaug.core.pixels import to_network
from synthaug.data.evaluation import EvaluationLoader
from synthaug.data.preparation import Preparation
from tests.conftest import make_images_of


@given(count=st.integers(1, 60), batch_size=st.integers(2, 20), world_size=st.integers(1, 4))
def test_every_image_comes_once_over_all_processes_in_as_many_batches(
    count: int, batch_size: int, world_size: int
) -> None:
    if count < world_size:
        count = world_size
    images = make_images_of(per_class=count, class_names=("only",))
    loaders = [
        EvaluationLoader(images, Preparation(), batch_size=batch_size, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    given_to = [list(loader) for loader in loaders]
    assert {len(batches) for batches in given_to} == {len(loaders[0])}
    sizes = [len(batch.labels) for batches in given_to for batch in batches]
    assert 1 <= min(sizes) <= max(sizes) <= batch_size
    seen = torch.cat([batch.indices for batches in given_to for batch in batches])
    assert sorted(seen.tolist()) == list(range(count))


def test_images_are_plain_real_and_in_their_order() -> None:
    images = make_images_of(per_class=5)
    batches = list(EvaluationLoader(images, Preparation(), batch_size=4))
    assert torch.equal(torch.cat([batch.images for batch in batches]), to_network(images.images))
    assert torch.equal(torch.cat([batch.labels for batch in batches]), images.labels)
    for batch in batches:
        assert not batch.is_synthetic.any()
        assert batch.weights.unique().tolist() == [1.0]
        assert torch.equal(batch.targets.argmax(1), batch.labels)


def test_fewer_images_than_processes_are_refused() -> None:
    images = make_images_of(per_class=1)
    with pytest.raises(InputError, match=r"2 image\(s\) cannot be shared among 3 processes"):
        EvaluationLoader(images, Preparation(), batch_size=4, world_size=3)
