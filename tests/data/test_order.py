import torch
from hypothesis import given
from hypothesis import strategies as st

from synthaug.data.order import ShuffledOrder

BLOCKS = st.lists(st.integers(0, 9), min_size=1, max_size=8).filter(any)


@given(blocks=BLOCKS, window=st.integers(1, 20), seed=st.integers(0, 99))
def test_every_pass_holds_every_index_once(blocks: list[int], window: int, seed: int) -> None:
    order = ShuffledOrder(tuple(blocks), seed, "x", window)
    for number in range(3):
        places = torch.arange(number * order.count, (number + 1) * order.count)
        assert sorted(order.at(places).tolist()) == list(range(order.count))


@given(blocks=BLOCKS, window=st.integers(1, 20), data=st.data())
def test_a_place_holds_the_same_index_whatever_else_is_asked_for(
    blocks: list[int], window: int, data: st.DataObject
) -> None:
    order = ShuffledOrder(tuple(blocks), 3, "x", window)
    whole = order.at(torch.arange(4 * order.count))
    places = torch.tensor(data.draw(st.lists(st.integers(0, 4 * order.count - 1), max_size=20)), dtype=torch.int64)
    assert torch.equal(order.at(places), whole[places])


def test_the_order_depends_on_seed_name_and_pass_and_nothing_else() -> None:
    def order_of(seed: int = 1, name: str = "x", number: int = 0) -> list[int]:
        return ShuffledOrder((50, 50), seed, name).at(torch.arange(100 * number, 100 * (number + 1))).tolist()

    first = order_of()
    torch.manual_seed(5)
    assert order_of() == first
    assert first not in (order_of(seed=2), order_of(name="y"), order_of(number=1))


def test_few_blocks_are_in_use_at_a_time_and_come_in_a_new_order_in_every_pass() -> None:
    order = ShuffledOrder((10,) * 20, 0, "x", window=30)
    passes = [(order.at(torch.arange(200 * number, 200 * (number + 1))) // 10).tolist() for number in range(2)]
    for blocks in passes:
        windows = [set(blocks[start : start + 30]) for start in range(0, 200, 30)]
        assert [len(window) for window in windows] == [3] * 6 + [2]
        assert len(set.union(*windows)) == 20
    assert passes[0] != passes[1]
    assert set(passes[0][:30]) != set(passes[1][:30])


def test_images_of_a_window_are_shuffled_among_one_another() -> None:
    blocks = (ShuffledOrder((10,) * 20, 0, "x", window=30).at(torch.arange(30)) // 10).tolist()
    assert blocks != sorted(blocks, key=blocks.index)  # not block after block


def test_a_source_of_one_block_is_shuffled_as_a_whole() -> None:
    indices = ShuffledOrder((5000,), 0, "x", window=10).at(torch.arange(5000)).double()
    displacement = (indices - torch.arange(5000)).abs().mean() / 5000
    assert abs(displacement - 1 / 3) < 0.02
