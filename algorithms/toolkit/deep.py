"""What the algorithms of deep learning share: device, hosts, and artifacts that run nothing."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import distributed

from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.peers import ADDRESSES, Peers, address
from algorithms.toolkit.training import fail_at_once

if TYPE_CHECKING:
    from algorithms.toolkit.job import Job


def device() -> Any:
    """The first GPU of this machine where it has one, else its CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def together(job: Job, peers: Peers) -> Iterator[None]:
    """Let torch.distributed of every host talk to that of the others; a lost peer ends this one.

    Messages go over gloo, and those of GPUs over nccl.
    """
    if peers.alone:
        yield
        return
    os.environ.setdefault("GLOO_SOCKET_IFNAME", _interface(job))
    first = address(peers.hosts[0])
    store = None
    if peers.first:
        store = distributed.TCPStore(
            first, 0, len(peers.hosts), is_master=True, wait_for_workers=False
        )
    told = peers.gather({"port": np.array(store.port if store else 0)})
    store = store or distributed.TCPStore(first, int(told[0]["port"]), len(peers.hosts))
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    with peers.watched(lambda reason: fail_at_once(job.base, reason)):
        distributed.init_process_group(
            backend, store=store, rank=peers.rank, world_size=len(peers.hosts)
        )
        try:
            yield
        finally:
            distributed.destroy_process_group()
    # Nobody leaves before all are through: who ends early looks like one that died.
    peers.gather({})


def _interface(job: Job) -> str:
    """The network interface over which the hosts reach one another."""
    if os.environ.get(ADDRESSES):
        return "lo" if sys.platform == "linux" else "lo0"
    path = job.base / "input" / "config" / "resourceconfig.json"
    return str(json.loads(path.read_text()).get("network_interface_name", "eth0"))


def average_gradients(module: Any, rows: int) -> int:
    """Make every host's gradients those of the records of all hosts; gives how many these are.

    Each host calls it after each backward pass over the mean loss of its own `rows`. One that has
    no records left takes part with 0 rows, until the answer is 0: then all are through.
    """
    if not distributed.is_initialized():
        return rows
    parameters = [each for each in module.parameters() if each.requires_grad]
    flat = torch.cat(
        [
            (torch.zeros_like(each) if each.grad is None or not rows else each.grad).reshape(-1)
            for each in parameters
        ]
    )
    flat = torch.cat([flat * rows, flat.new_tensor([float(rows)])])
    distributed.all_reduce(flat)
    total = round(float(flat[-1]))
    if total:
        start = 0
        for each in parameters:
            each.grad = (flat[start : start + each.numel()] / total).view_as(each)
            start += each.numel()
    return total


def average_buffers(module: Any) -> None:
    """Make every host's running statistics (of batch normalisation) the mean of all hosts'."""
    if not distributed.is_initialized():
        return
    for buffer in module.buffers():
        if buffer.is_floating_point():
            distributed.all_reduce(buffer)
            buffer /= distributed.get_world_size()


def save(
    path: Path, kind: str, version: int, tensors: Mapping[str, Any], settings: Mapping[str, Any]
) -> None:
    """Write tensors and settings as safetensors, with the name and version of their format."""
    from safetensors.torch import save_file

    save_file(
        {name: each.detach().cpu().contiguous() for name, each in tensors.items()},
        str(path),
        metadata={
            "format": kind,
            "format_version": str(version),
            "settings": json.dumps(settings),
        },
    )


def load(path: Path, kind: str, version: int, title: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The tensors, on the CPU, and the settings that `save` wrote.

    Raises:
        CustomerError: The file is missing, foreign, or of a newer format.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        found = ", ".join(sorted(p.name for p in path.parent.glob("*"))) or "nothing"
        raise CustomerError(f"the model has no file {path.name}; it holds {found}")
    try:
        with safe_open(str(path), framework="pt") as file:
            about = file.metadata() or {}
            found_kind, found_version = about.get("format", ""), int(about["format_version"])
            known = found_kind == kind and found_version <= version
            tensors = {name: file.get_tensor(name) for name in file.keys()} if known else {}  # noqa: SIM118 not a dict
            settings = json.loads(about["settings"]) if known else {}
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise CustomerError(f"{path.name} is not a {title} model of this image: {error}") from None
    if found_kind != kind:
        raise CustomerError(f"{path.name} holds {found_kind}, where {kind} is expected")
    if found_version > version:
        raise CustomerError(
            f"{path.name} has format version {found_version}; this image reads up to {version}. "
            "Serve it with the image that trained it, or a newer one"
        )
    return tensors, settings
