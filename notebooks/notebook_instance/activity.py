"""When a notebook instance counts as idle."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Observation:
    """What was seen at one look."""

    busy_kernels: int
    busy_terminals: int
    busy_processes: int
    cpu_percent: float
    happened_since: bool
    """Whether a kernel answered, or a terminal was used, since the look before."""

    @property
    def active(self) -> bool:
        """Whether somebody, or something that somebody began, is at work."""
        return bool(
            self.busy_kernels or self.busy_terminals or self.busy_processes or self.happened_since
        )


@dataclass
class Idleness:
    """How long nothing was seen to happen.

    Only time that was watched counts. What could not be seen is no idleness, nor is the time during
    which the machine slept, or its clock was set.
    """

    interval: float
    """Seconds between two looks."""
    seconds: float = field(default=0.0, init=False)

    def take(self, observation: Observation | None, since_last: float) -> float:
        """Take in one look, or that nothing could be seen, and give the idle seconds so far."""
        if observation is None or observation.active:
            self.seconds = 0.0
        else:
            self.seconds += min(max(since_last, 0.0), 2 * self.interval)
        return self.seconds
