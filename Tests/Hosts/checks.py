"""How a scenario fails, and waits with an end."""

import time


class Failed(AssertionError):
    """Something is not as it should be."""


class Skipped(Exception):
    """This machine lacks something; the reason is the text."""


def expect(condition, what):
    if not condition:
        raise Failed(what)


# So long things may take that take no time on a machine that does nothing else.
SECONDS = 60


def wait(what, ask, seconds=SECONDS):
    """Asks again until there is an answer, and returns it."""
    end = time.monotonic() + seconds
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > end:
            raise Failed(f"{what} did not come within {seconds} s")
        time.sleep(0.02)
