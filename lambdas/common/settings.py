"""What a function is told by its environment variables."""

from collections.abc import Mapping


class InvalidSettings(RuntimeError):
    """The function was deployed with settings that it cannot work with."""


def required(environment: Mapping[str, str], name: str) -> str:
    """A variable that must be there."""
    value = environment.get(name, "")
    if not value:
        raise InvalidSettings(f"the environment variable {name} is missing; the template sets it")
    return value
