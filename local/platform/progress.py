"""How the platform tells of what it does, without knowing where that is shown."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Progress(Protocol):
    """Something that shows steps as they begin, go on and end. Called from several threads."""

    def begin(self, step: str) -> None:
        """Show that `step` runs now."""

    def update(self, step: str, detail: str) -> None:
        """Show how far `step` is."""

    def end(self, step: str, detail: str = "") -> None:
        """Show that `step` is done."""

    def fail(self, step: str) -> None:
        """Show that `step` failed; the reason follows as an exception."""

    def note(self, text: str) -> None:
        """Show a line at once, which belongs to no step."""


class Silent:
    """Shows nothing."""

    def begin(self, step: str) -> None:
        """Show nothing."""

    def update(self, step: str, detail: str) -> None:
        """Show nothing."""

    def end(self, step: str, detail: str = "") -> None:
        """Show nothing."""

    def fail(self, step: str) -> None:
        """Show nothing."""

    def note(self, text: str) -> None:
        """Show nothing."""


@contextmanager
def step(progress: Progress, name: str) -> Iterator[None]:
    """Show `name` as running while the block runs."""
    progress.begin(name)
    try:
        yield
    except BaseException:
        progress.fail(name)
        raise
    progress.end(name)
