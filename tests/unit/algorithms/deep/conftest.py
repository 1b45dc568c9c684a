import sys

import pytest


@pytest.fixture(autouse=True)
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever imports torch's compiler fails: no algorithm is to pay for it."""
    monkeypatch.setitem(sys.modules, "torch._dynamo", None)
