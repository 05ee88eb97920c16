import pytest

from synthaug.core.errors import InputError
from synthaug.core.registry import Registry


@pytest.fixture
def fruits() -> Registry[int]:
    return Registry("fruit", {"pear": 1, "apple": 2})


def test_a_known_name_gives_its_value(fruits: Registry[int]) -> None:
    assert fruits.get("pear") == 1
    assert fruits.get("apple") == 2


def test_an_unknown_name_lists_the_known_ones(fruits: Registry[int]) -> None:
    with pytest.raises(InputError, match=r"unknown fruit 'Pear'; known: apple, pear$"):
        fruits.get("Pear")


def test_an_unknown_name_in_an_empty_registry_says_that_none_is_known() -> None:
    with pytest.raises(InputError, match="known: none"):
        Registry("fruit", {}).get("pear")


def test_names_and_items_keep_the_order_of_registration(fruits: Registry[int]) -> None:
    assert fruits.names() == ["pear", "apple"]
    assert fruits.items() == [("pear", 1), ("apple", 2)]


def test_later_changes_of_the_given_table_do_not_reach_the_registry() -> None:
    table = {"pear": 1}
    fruits = Registry("fruit", table)
    table["plum"] = 3
    assert fruits.names() == ["pear"]
