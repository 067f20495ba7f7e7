"""One thing that is tried on two hosts."""

import dataclasses
import typing


@dataclasses.dataclass(frozen=True)
class Scenario:
    name: str
    sentence: str
    # Takes the two hosts and whether all of it is wanted; returns lines about what it measured, or nothing.
    body: typing.Callable
    # Whether the test command runs it; the others are for --full.
    is_quick: bool = True
    # A bound that no machine in order comes near.
    seconds: int = 120


def named(function, **options):
    """A scenario of a function's name and doc string."""
    return Scenario(function.__name__, function.__doc__, function, **options)
