"""How the package's annotations are checked while the tests run: by beartype, except what it cannot know."""

from typing import Any, Self

from beartype import BeartypeConf, FrozenDict, beartype
from beartype.roar import BeartypeDecorHintPep3119Exception

# jaxtyping decorates one function at a time, where beartype cannot know which class `Self` is.
_CONFIGURATION = BeartypeConf(hint_overrides=FrozenDict({Self: object}))


def checked(function: Any) -> Any:
    """The function with its arguments and result checked at every call."""
    try:
        return beartype(function, conf=_CONFIGURATION)
    except BeartypeDecorHintPep3119Exception:  # A protocol that is meant for the static checker only.
        return function
