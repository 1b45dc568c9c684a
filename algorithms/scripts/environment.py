"""What a training script is told: its arguments and the variables of SageMaker's training toolkit.

The names and forms are those of
https://github.com/aws/sagemaker-training-toolkit/blob/master/ENVIRONMENT_VARIABLES.md
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PREFIX = "sagemaker_"
# Those of the platform's own that the toolkit keeps from the script; the others that begin so are
# parameters of the framework.
_RESERVED = {
    "sagemaker_program",
    "sagemaker_submit_directory",
    "sagemaker_enable_cloudwatch_metrics",
    "sagemaker_region",
    "sagemaker_container_log_level",
    "sagemaker_job_name",
    "sagemaker_s3_output",
    "default_user_module_name",
    "_tuning_objective_metric",
}
_INFO = 20


@dataclass(frozen=True)
class Invocation:
    """A training script with all that it is told.

    Args:
        program: the file, or module of a package, that runs.
        submitted: where its code is, as the request names it; empty where it names nothing.
        arguments: what stands behind the program.
        variables: the SM_ variables.
    """

    program: str
    submitted: str
    arguments: list[str]
    variables: dict[str, str]


def read(base: Path, framework_module: str, environment: Mapping[str, str]) -> Invocation:
    """Read the files of a job below its base folder.

    Args:
        base: what stands for /opt/ml.
        framework_module: what SM_FRAMEWORK_MODULE says.
        environment: the process's own variables.
    """
    config = base / "input" / "config"
    given = {name: _value(text) for name, text in _object(config / "hyperparameters.json").items()}
    own = {name: value for name, value in given.items() if not _is_reserved(name)}
    reserved = {name: value for name, value in given.items() if _is_reserved(name)}
    program = environment.get("SAGEMAKER_PROGRAM") or str(reserved.get("sagemaker_program") or "")
    submitted = str(
        reserved.get("sagemaker_submit_directory")
        or environment.get("SAGEMAKER_SUBMIT_DIRECTORY")
        or ""
    )
    arguments = _arguments(own)
    told = {
        **_of_the_job(base, config),
        "hps": own,
        "user_args": arguments,
        "user_entry_point": program,
        "module_name": program.removesuffix(".py"),
        "module_dir": submitted or str(base / "code"),
        "framework_module": framework_module,
        "framework_params": {
            name: value for name, value in reserved.items() if name not in _RESERVED
        },
        "log_level": reserved.get("sagemaker_container_log_level", _INFO),
    }
    told["training_env"] = {
        **{name: value for name, value in told.items() if name not in {"hps", "user_args"}},
        "hyperparameters": own,
        "job_name": environment.get("TRAINING_JOB_NAME", ""),
    }
    told |= {f"channel_{name}": path for name, path in told["channel_input_dirs"].items()}
    told |= {f"hp_{name}": value for name, value in own.items()}
    del told["channel_input_dirs"]
    variables = {f"SM_{name.upper()}": _text(value) for name, value in told.items()}
    return Invocation(program, submitted, arguments, variables)


def gpu_count(devices: Path = Path("/dev")) -> int:
    """How many GPUs of NVIDIA the process may use."""
    return sum(path.name.removeprefix("nvidia").isdecimal() for path in devices.glob("nvidia*"))


def _of_the_job(base: Path, config: Path) -> dict[str, Any]:
    resources = _object(config / "resourceconfig.json")
    inputs = _object(config / "inputdataconfig.json")
    groups = resources.get("instance_groups", [])
    group = resources.get("current_group_name", "homogeneousCluster")
    among = {one["instance_group_name"]: one for one in groups}
    channels = {name: str(base / "input" / "data" / name) for name in inputs}
    return {
        "hosts": resources.get("hosts", []),
        "current_host": resources.get("current_host", ""),
        "current_instance_type": resources.get("current_instance_type", "local"),
        "current_instance_group": group,
        "current_instance_group_hosts": among.get(group, {}).get("hosts", []),
        "instance_groups": [*among],
        "instance_groups_dict": among,
        "distribution_instance_groups": [*among],
        "is_hetero": len(among) > 1,
        "network_interface_name": resources.get("network_interface_name", "eth0"),
        "resource_config": resources,
        "input_data_config": inputs,
        "channels": sorted(channels),
        "channel_input_dirs": channels,
        "input_dir": str(base / "input"),
        "input_config_dir": str(config),
        "model_dir": str(base / "model"),
        "output_dir": str(base / "output"),
        "output_data_dir": str(base / "output" / "data"),
        "output_intermediate_dir": str(base / "output" / "intermediate"),
        "num_cpus": os.cpu_count() or 1,
        "num_gpus": gpu_count(),
        "num_neurons": 0,
    }


def _is_reserved(name: str) -> bool:
    return name in _RESERVED or name.startswith(_PREFIX)


def _arguments(values: Mapping[str, Any]) -> list[str]:
    """Hyperparameters as `--name value`, by name."""
    found = []
    for name in sorted(values):
        value = values[name]
        found.append(f"--{name}" if len(name) > 1 else f"-{name}")
        if isinstance(value, dict):
            found.append(",".join(f"{key}={value[key]}" for key in sorted(value)))
        else:
            found.append("" if value is None else str(value))
    return found


def _value(text: Any) -> Any:
    """A hyperparameter is text; what is JSON in it is read, as the toolkit does."""
    try:
        return json.loads(text)
    except (ValueError, TypeError):
        return text


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _object(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return found if isinstance(found, dict) else {}
