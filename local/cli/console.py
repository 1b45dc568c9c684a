"""What every command shares: the two consoles, steps as they run, and how failures look."""

import os
import threading
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress as Bars
from rich.progress import ProgressColumn, SpinnerColumn, Task, TaskID, TextColumn
from rich.text import Text

from local.platform.errors import PlatformError

out = Console(highlight=False, soft_wrap=True)
# Progress and failures go here, so that the output of `env` and `invoke` can be piped.
err = Console(stderr=True, highlight=False, soft_wrap=True)


def show(error: PlatformError) -> None:
    """Print which step failed, why, and what to do."""
    err.print(f"[bold red]Failed:[/] {escape(error.step)}")
    err.print(f"[bold]Why:[/]    {escape(error.why)}")
    if error.remedy:
        err.print(f"[bold]Do:[/]     {escape(error.remedy)}")


class _Seconds(ProgressColumn):
    """How long the step has run."""

    def render(self, task: Task) -> Text:
        """Show seconds with one decimal."""
        elapsed = task.finished_time if task.finished else task.elapsed
        return Text(f"{elapsed or 0:5.1f} s", style="dim")


class Steps:
    """Steps on the error console: lines that move on a terminal, plain lines in a log."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._began: dict[str, float] = {}
        self._tasks: dict[str, TaskID] = {}
        self._live = err.is_terminal
        self._bars = Bars(
            SpinnerColumn(finished_text="[green]✓[/]"),
            TextColumn("{task.description}"),
            _Seconds(),
            TextColumn("[dim]{task.fields[detail]}[/]"),
            console=err,
            disable=not self._live,
        )

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def begin(self, step: str) -> None:
        """Show that `step` runs now."""
        with self._lock:
            self._began[step] = time.monotonic()
            self._tasks[step] = self._bars.add_task(escape(step), total=1, detail="")

    def update(self, step: str, detail: str) -> None:
        """Show how far `step` is."""
        with self._lock:
            if self._live and step in self._tasks:
                self._bars.update(self._tasks[step], detail=escape(detail))

    def end(self, step: str, detail: str = "") -> None:
        """Show that `step` is done."""
        self._close(step, "✓", detail)

    def fail(self, step: str) -> None:
        """Show that `step` failed."""
        self._close(step, "✗", "")

    def note(self, text: str) -> None:
        """Print a line between the steps."""
        err.print(f"  {escape(text)}")

    def _close(self, step: str, sign: str, detail: str) -> None:
        with self._lock:
            if step not in self._tasks:
                return
            task = self._tasks[step]
            if not self._live:
                seconds = time.monotonic() - self._began[step]
                err.print(f"  {sign} {escape(step)}  {seconds:.1f} s  {escape(detail)}".rstrip())
            elif sign == "✓":
                self._bars.update(task, completed=1, detail=escape(detail))
            else:
                self._bars.update(task, description=f"[red]✗ {escape(step)}[/]", detail="")
                self._bars.stop_task(task)


def itself() -> str:
    """How a person calls smp from here: by its name only where the environment is activated."""
    return "smp" if "VIRTUAL_ENV" in os.environ else ".venv/bin/smp"


def size(count: float) -> str:
    """Bytes as a person reads them."""
    for unit in ("B", "KB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
