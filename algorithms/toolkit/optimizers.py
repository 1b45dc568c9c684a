"""The optimizers of torch without its compiler, which nothing here is compiled with.

A method of torch's optimizers tells the compiler first what not to compile, and for that imports
it: 900 modules and two seconds of a processor in each job, before the first step.
The same methods lie undecorated below, under `__wrapped__`; these classes have them.
`step` computes no gradients of its own: the decorator that is left out would see to that, too.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch

_METHODS = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")


def _without_compiler(kind: Any) -> Any:
    methods = {name: inspect.unwrap(getattr(kind, name)) for name in _METHODS}
    step = torch.no_grad()(inspect.unwrap(kind.step))
    return type(kind.__name__, (kind,), {**methods, "step": step, "__module__": __name__})


SGD = _without_compiler(torch.optim.SGD)
Adam = _without_compiler(torch.optim.Adam)
SparseAdam = _without_compiler(torch.optim.SparseAdam)
RMSprop = _without_compiler(torch.optim.RMSprop)
Adagrad = _without_compiler(torch.optim.Adagrad)
Adadelta = _without_compiler(torch.optim.Adadelta)
