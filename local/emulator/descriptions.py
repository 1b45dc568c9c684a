"""AWS's descriptions of its services, which botocore reads, are held once and without their prose.

ministack, moto and the clients of SageMaker have a session each, and every session reads its own.
"""

import functools
from typing import Any


def install() -> None:
    """Share what is read from a file among all sessions of this process."""
    from botocore.loaders import JSONFileLoader

    loaders: Any = JSONFileLoader
    load = loaders.load_file
    shared: dict[str, Any] = {}

    @functools.wraps(load)
    def loaded(loader: Any, path: str) -> Any:
        if path not in shared:
            found = load(loader, path)
            _drop_prose(found)
            if found is None:
                return None
            shared[path] = found
        return shared[path]

    loaders.load_file = loaded


def _drop_prose(value: Any) -> None:
    """Empty every text called documentation; a member of that name is no text and stays."""
    if isinstance(value, dict):
        if isinstance(value.get("documentation"), str):
            value["documentation"] = ""
        for item in value.values():
            _drop_prose(item)
    elif isinstance(value, list):
        for item in value:
            _drop_prose(item)
