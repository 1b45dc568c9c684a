"""torch without its compiler, by which nothing here is compiled.

Some functions of torch and torchvision tell the compiler what not to compile, or ask it one
question, and for that import it: 900 modules, and two seconds of a processor in every container.
"""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_COMPILER = "torch._dynamo"
_UTILITIES = f"{_COMPILER}.utils"
_QUESTION = "is_compile_supported"


@contextmanager
def absent() -> Iterator[None]:
    """Within, an almost empty module stands in the compiler's place, unless it is imported."""
    if sys.modules.get(_COMPILER) is not None:
        yield
        return
    before = {name: sys.modules[name] for name in (_COMPILER, _UTILITIES) if name in sys.modules}
    package, utilities = types.ModuleType(_COMPILER), types.ModuleType(_UTILITIES)
    package.__path__ = []
    package.__dict__["disable"] = _as_it_is
    # Who asks later, asks the real one.
    utilities.__dict__[_QUESTION] = _is_compile_supported
    sys.modules |= {_COMPILER: package, _UTILITIES: utilities}
    try:
        yield
    finally:
        del sys.modules[_COMPILER], sys.modules[_UTILITIES]
        sys.modules |= before


def _as_it_is(function: Any, *_: Any, **__: Any) -> Any:
    return function


def _is_compile_supported(device_type: str) -> bool:
    return bool(getattr(importlib.import_module(_UTILITIES), _QUESTION)(device_type))
