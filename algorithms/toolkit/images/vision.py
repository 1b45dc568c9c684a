"""torchvision, imported without the compiler of torch.

One operation of torchvision, which no algorithm here uses, asks the compiler one question, and for
that imports it: half of all that a container of images loads before it begins. So torchvision
finds an empty module in the compiler's place, which is taken away again afterwards.
"""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager

_COMPILER = "torch._dynamo"
_QUESTION = "is_compile_supported"


@contextmanager
def _without_the_compiler() -> Iterator[None]:
    if _COMPILER in sys.modules:
        yield
        return
    package, utilities = types.ModuleType(_COMPILER), types.ModuleType(f"{_COMPILER}.utils")
    # Who asks later, asks the real one.
    setattr(utilities, _QUESTION, _is_compile_supported)
    package.__path__ = []
    sys.modules |= {_COMPILER: package, f"{_COMPILER}.utils": utilities}
    try:
        yield
    finally:
        del sys.modules[_COMPILER], sys.modules[f"{_COMPILER}.utils"]


def _is_compile_supported(device_type: str) -> bool:
    return bool(getattr(importlib.import_module(f"{_COMPILER}.utils"), _QUESTION)(device_type))


with _without_the_compiler():
    from torchvision import ops
    from torchvision.models import resnet, segmentation

__all__ = ["ops", "resnet", "segmentation"]
