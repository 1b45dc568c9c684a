"""The files and the environment that a training container finds."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local.sagemaker.ports import Credentials
from local.sagemaker.training import channels

HOST = "algo-1"


def lay_out(folder: Path, job: Mapping[str, Any]) -> None:
    """Make the tree of /opt/ml with the three configuration files."""
    for name in ("input/config", "input/data", "model", "output/data", "output/metrics", "tmp"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    config = folder / "input" / "config"
    _write(config / "hyperparameters.json", dict(job.get("HyperParameters", {})))
    _write(config / "inputdataconfig.json", {each.name: each.config for each in channels.of(job)})
    instance_type = job["ResourceConfig"]["InstanceType"]
    _write(
        config / "resourceconfig.json",
        {
            "current_host": HOST,
            "current_instance_type": instance_type,
            "current_group_name": "homogeneousCluster",
            "hosts": [HOST],
            "instance_groups": [
                {
                    "instance_group_name": "homogeneousCluster",
                    "instance_type": instance_type,
                    "hosts": [HOST],
                }
            ],
            # Every host of the local platform is a process on the loopback interface.
            "network_interface_name": "lo",
        },
    )


def environment(
    folder: Path,
    job: Mapping[str, Any],
    *,
    region: str,
    endpoint_url: str,
    credentials: Credentials | None,
) -> dict[str, str]:
    """Give the environment of the container; None for credentials means network isolation."""
    found = {
        **job.get("Environment", {}),
        "SAGEMAKER_BASE_DIR": str(folder),
        "SAGEMAKER_METRICS_DIRECTORY": str(folder / "output" / "metrics" / "sagemaker"),
        "TRAINING_JOB_NAME": job["TrainingJobName"],
        "TRAINING_JOB_ARN": job["TrainingJobArn"],
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
        "HOME": str(folder),
        "TMPDIR": str(folder / "tmp"),
        "PYTHONUNBUFFERED": "1",
    }
    if credentials is not None:
        found |= {
            "AWS_ACCESS_KEY_ID": credentials.access_key,
            "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
            "AWS_SESSION_TOKEN": credentials.token,
            "AWS_ENDPOINT_URL": endpoint_url,
        }
    return found


def _write(path: Path, document: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(document))
