"""Optimizers that leave torch's compiler alone, as the fixture of this folder sees to."""

from typing import Any

import pytest
import torch

from algorithms.toolkit import optimizers

KINDS = ["SGD", "Adam", "SparseAdam", "RMSprop", "Adagrad", "Adadelta"]


def learnt(module: Any, optimizer: Any, steps: int) -> list[float]:
    for _ in range(steps):
        optimizer.zero_grad()
        (module(torch.tensor([1, 2])) ** 2).sum().backward()
        optimizer.step()
    weights: list[float] = module.weight.detach().flatten().tolist()
    return weights


@pytest.mark.parametrize("kind", KINDS)
def test_an_optimizer_learns_and_goes_on_without_the_compiler(kind: str) -> None:
    def started() -> tuple[Any, Any]:
        torch.manual_seed(3)
        module = torch.nn.Embedding(4, 3, sparse=kind == "SparseAdam")
        return module, getattr(optimizers, kind)(module.parameters(), lr=0.1)

    module, optimizer = started()
    fresh = module.weight.detach().flatten().tolist()
    straight = learnt(module, optimizer, 4)
    assert straight != fresh
    assert module.weight.is_leaf and module.weight.requires_grad
    module, optimizer = started()
    learnt(module, optimizer, 2)
    weights, state = module.state_dict(), optimizer.state_dict()
    module, optimizer = started()
    module.load_state_dict(weights)
    optimizer.load_state_dict(state)
    assert learnt(module, optimizer, 2) == pytest.approx(straight, abs=1e-6)


def test_parameters_may_be_added_without_the_compiler() -> None:
    first, second = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    optimizer = optimizers.SGD([first], lr=0.5)
    optimizer.add_param_group({"params": [second], "lr": 0.25})
    (first.sum() + second.sum()).backward()
    optimizer.step()
    assert (first.tolist(), second.tolist()) == ([0.5, 0.5], [0.75, 0.75])


def test_every_optimizer_is_the_one_of_torch() -> None:
    for kind in KINDS:
        assert issubclass(getattr(optimizers, kind), getattr(torch.optim, kind))
