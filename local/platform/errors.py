"""What went wrong, in the form in which a person is told."""


class PlatformError(Exception):
    """A step that failed: which one, why, and what to do about it."""

    def __init__(self, step: str, why: str, remedy: str) -> None:
        super().__init__(f"{step}: {why} {remedy}".strip())
        self.step = step
        self.why = why
        self.remedy = remedy
