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
    seconds: int = 600


def named(function, prefix="", **options):
    """A scenario of a function's name and doc string."""
    name = f"{prefix}_{function.__name__}" if prefix else function.__name__
    return Scenario(name, function.__doc__, function, **options)
