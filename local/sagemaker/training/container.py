"""The files and the environment that a training container finds."""

import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local.sagemaker.ports import Credentials
from local.sagemaker.training import channels
from local.sagemaker.training.checkpoints import DEFAULT_PATH
from local.sagemaker.training.cluster import Place

# On AWS a host's name resolves. Nothing makes it resolve for a process on this machine, so that
# the algorithms look here first.
ADDRESSES = "SAGEMAKER_HOST_ADDRESSES"


def lay_out(folder: Path, job: Mapping[str, Any], place: Place, interface: str) -> None:
    """Make the tree of /opt/ml of one host with its configuration files."""
    for name in ("input/config", "input/data", "model", "output/data", "output/metrics", "tmp"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    config = folder / "input" / "config"
    _write(config / "hyperparameters.json", dict(job.get("HyperParameters", {})))
    read = channels.of(job, place)
    _write(config / "inputdataconfig.json", {channel.name: channel.config for channel in read})
    if asked := job.get("CheckpointConfig"):
        path = asked.get("LocalPath") or DEFAULT_PATH
        _write(config / "checkpointconfig.json", {"S3Uri": asked["S3Uri"], "LocalPath": path})
    _write(
        config / "resourceconfig.json",
        {
            "current_host": place.host,
            "current_instance_type": place.group.instance_type,
            "current_group_name": place.group.name,
            "hosts": place.cluster.hosts,
            "instance_groups": [
                {
                    "instance_group_name": group.name,
                    "instance_type": group.instance_type,
                    "hosts": group.hosts,
                }
                for group in place.cluster.groups
            ],
            "network_interface_name": interface,
        },
    )


def environment(
    folder: Path,
    job: Mapping[str, Any],
    place: Place,
    *,
    region: str,
    endpoint_url: str,
    credentials: Credentials | None,
    asked: Mapping[str, str],
) -> dict[str, str]:
    """Give the environment of the container; None for credentials means network isolation.

    `asked` is what passes of the request's own.
    """
    hosts = len(place.cluster.hosts)
    # Hosts that each take all cores of the one machine they share would be in each other's way.
    shared = {"OMP_NUM_THREADS": max((os.cpu_count() or 1) // hosts, 1)} if hosts > 1 else {}
    found = {
        **shared,
        **asked,
        "SAGEMAKER_BASE_DIR": str(folder),
        "SAGEMAKER_METRICS_DIRECTORY": str(folder / "output" / "metrics" / "sagemaker"),
        "TRAINING_JOB_NAME": job["TrainingJobName"],
        "TRAINING_JOB_ARN": job["TrainingJobArn"],
        ADDRESSES: json.dumps(place.cluster.addresses),
        **common_environment(folder, region, endpoint_url, credentials),
    }
    return {name: str(value) for name, value in found.items()}


def common_environment(
    folder: Path, region: str, endpoint_url: str, credentials: Credentials | None
) -> dict[str, str]:
    """Give what jobs and model servers have in common: region, credentials, own folders."""
    found = {
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        # Here nothing lies that came out of S3: libraries read settings of a home that would.
        "HOME": str(folder / "tmp"),
        "TMPDIR": str(folder / "tmp"),
    }
    if credentials is not None:
        found |= {
            "AWS_ACCESS_KEY_ID": credentials.access_key,
            "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
            "AWS_SESSION_TOKEN": credentials.token,
            "AWS_ENDPOINT_URL": endpoint_url,
        }
    return found


def loopback() -> str:
    """Name the loopback interface of this machine: lo, or lo0 on macOS."""
    names = [name for _, name in socket.if_nameindex()]
    return next((name for name in ("lo", "lo0") if name in names), names[0])


def _write(path: Path, document: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(document))
