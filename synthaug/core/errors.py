"""The errors users meet, each with the exit code the command line gives it; not for programming mistakes."""

from __future__ import annotations


class SynthaugError(Exception):
    """Something went wrong that the user can understand: what was required, what was found, what to do.

    Attributes:
        exit_code: Exit status of the command line for this error.
    """

    exit_code = 1


class InputError(SynthaugError):
    """Bad input or usage: an unknown name, an impossible value, a folder that is not what it should be."""

    exit_code = 2


class StorageError(SynthaugError):
    """The disk refused: full, read-only, too large a file."""


class DamageError(SynthaugError):
    """Stored bytes are not what their manifest or card says."""

    exit_code = 3


class TrainingError(SynthaugError):
    """A training could not go on, for example because its loss is no longer a number."""


def unknown_name(kind: str, name: str, known: list[str]) -> InputError:
    """An error for a name that is not registered, listing those that are."""
    return InputError(f"unknown {kind} {name!r}; known: {', '.join(sorted(known)) or 'none'}")
