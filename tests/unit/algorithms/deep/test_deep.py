"""What the algorithms of deep learning share."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from algorithms.toolkit import deep
from algorithms.toolkit.errors import CustomerError

KIND = "sagemaker-platform/some"

# Two hosts, each with its own records of y = 3 x, one with more batches than the other.
HOST = """
import json, os, sys
from pathlib import Path
import torch
from algorithms.toolkit import deep
from algorithms.toolkit.job import Job
from algorithms.toolkit.peers import meet

host, base = sys.argv[1], Path(sys.argv[2])
job = Job("some", {}, {}, {}, {}, host, ("algo-1", "algo-2"), base)
module = torch.nn.Linear(1, 1, bias=False)
torch.nn.init.ones_(module.weight)
batches = [[1.0, 2.0], [3.0]] if host == "algo-1" else [[4.0]]
totals = []
with meet(job) as peers, deep.together(job, peers):
    while True:
        batch = batches.pop(0) if batches else []
        module.zero_grad()
        x = torch.tensor(batch).reshape(-1, 1)
        if batch:
            ((module(x) - 3 * x) ** 2).mean().backward()
        rows = deep.average_gradients(module, len(batch))
        if not rows:
            break
        totals.append([rows, float(module.weight.grad)])
    if peers.first:
        base.joinpath("totals.json").write_text(json.dumps(totals))
"""


def test_gradients_of_hosts_are_averaged_by_records_until_all_are_through(tmp_path: Path) -> None:
    addresses = {"algo-1": "127.0.0.41", "algo-2": "127.0.0.42"}
    try:
        socket.create_server((addresses["algo-1"], 0)).close()
    except OSError:
        pytest.skip("this machine has one loopback address only")
    environment = {**os.environ, "SAGEMAKER_HOST_ADDRESSES": json.dumps(addresses)}
    hosts = [
        subprocess.Popen([sys.executable, "-c", HOST, host, str(tmp_path)], env=environment)
        for host in addresses
    ]
    assert [host.wait(120) for host in hosts] == [0, 0]
    # d/dw of the mean of (w x - 3 x)^2 at w = 1 is the mean of -4 x^2.
    first, second = json.loads((tmp_path / "totals.json").read_text())
    assert first == [3, pytest.approx(-4 * (1 + 4 + 16) / 3)]
    assert second == [1, pytest.approx(-4 * 9)]


def test_an_artifact_reads_back_with_its_settings(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    deep.save(path, KIND, 1, {"weight": torch.eye(2)}, {"width": 2})
    tensors, settings = deep.load(path, KIND, 1, "some")
    assert torch.equal(tensors["weight"], torch.eye(2))
    assert settings == {"width": 2}


def test_a_newer_foreign_broken_or_missing_artifact_is_refused_with_a_sentence(
    tmp_path: Path,
) -> None:
    path = tmp_path / "model.safetensors"
    deep.save(path, KIND, 2, {"weight": torch.eye(2)}, {})
    with pytest.raises(CustomerError, match="format version 2; this image reads up to 1"):
        deep.load(path, KIND, 1, "some")
    with pytest.raises(CustomerError, match="holds sagemaker-platform/some, where other is"):
        deep.load(path, "other", 2, "other")
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(CustomerError, match=r"model\.safetensors is not a some model"):
        deep.load(path, KIND, 2, "some")
    with pytest.raises(CustomerError, match=r"no file other\.safetensors; it holds model"):
        deep.load(tmp_path / "other.safetensors", KIND, 2, "some")
