"""The instances of a training job: what AWS refuses about them, and what cannot be had here.

Sources: `ResourceConfig` and `StoppingCondition` in the API, and the developer guide on managed
spot training and on managed warm pools.
"""

import re
from collections.abc import Mapping
from typing import Any

from local.sagemaker.errors import invalid
from local.sagemaker.limits import Limits
from local.sagemaker.training.cluster import instance_groups, own_addresses

LONGEST_BY_DEFAULT = 86_400
_LONGEST = 2_419_200
# For algorithms of AWS and of the Marketplace that would begin anew after each interruption.
_LONGEST_WAIT_WITHOUT_CHECKPOINTS = 3_600
# Types with disks of their own, which their hardware encrypts: a `d` in the family says so, and
# accelerated families have them without saying.
_OWN_DISKS = re.compile(r"ml\.([a-z]+\d+[a-z]*d[a-z]*|g[56]e?|gr6|p[56](-?[a-z0-9]+)?|trn\d+n?)\.")


def check(resources: Mapping[str, Any], limits: Limits) -> None:
    """Check a ResourceConfig.

    Raises:
        ServiceError: for instances that contradict one another, or are too many for this machine.
    """
    if resources.get("TrainingPlanArn"):
        raise invalid("The local platform has no training plans yet: leave TrainingPlanArn out.")
    if resources.get("InstanceGroups"):
        for name in ("InstanceType", "InstanceCount"):
            if name in resources:
                raise invalid(f"ResourceConfig has InstanceGroups: leave {name} out, or these.")
        names = [group["InstanceGroupName"] for group in resources["InstanceGroups"]]
        if len(set(names)) < len(names):
            raise invalid(f"Instance groups must differ in their names: {', '.join(names)}.")
    else:
        for name in ("InstanceType", "InstanceCount"):
            if name not in resources:
                raise invalid(f"ResourceConfig needs {name}, or InstanceGroups.")
    groups = instance_groups(resources)
    for _, instance_type, _ in groups:
        if resources.get("VolumeKmsKeyId") and _OWN_DISKS.match(instance_type):
            raise invalid(
                f"VolumeKmsKeyId cannot be used with {instance_type}: a KMS key is not supported "
                "for NVMe instance storage, which the instance encrypts by its hardware."
            )
    count = sum(count for _, _, count in groups)
    if not 0 < count <= limits.instances:
        raise invalid(
            f"The job asks for {count} instances. The local platform runs a process for each, "
            f"at least one and at most {limits.instances} of one job."
        )
    if count > 1 and not own_addresses():
        raise invalid(
            f"The job asks for {count} instances, which run here on addresses from 127.64.0.1 on "
            "that this machine's loopback interface does not have: set InstanceCount to 1."
        )


def check_times(params: Mapping[str, Any], *, restarts_anew: bool) -> None:
    """Check how long a job may run, wait and be kept warm.

    Args:
        params: the request.
        restarts_anew: whether the image is one of AWS's that keeps no checkpoints.

    Raises:
        ServiceError: for times that AWS does not take.
    """
    times = params["StoppingCondition"]
    longest = times.get("MaxRuntimeInSeconds", LONGEST_BY_DEFAULT)
    wait = times.get("MaxWaitTimeInSeconds")
    if longest > _LONGEST:
        raise invalid(
            f"MaxRuntimeInSeconds is {longest}; at most {_LONGEST} (28 days) are possible."
        )
    if not params.get("EnableManagedSpotTraining"):
        if wait is not None:
            raise invalid(
                "MaxWaitTimeInSeconds is for managed spot training only: set "
                "EnableManagedSpotTraining to true, or leave it out."
            )
        return
    if wait is None or wait < longest:
        raise invalid(
            "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to "
            "MaxRuntimeInSeconds"
        )
    if restarts_anew and wait > _LONGEST_WAIT_WITHOUT_CHECKPOINTS:
        raise invalid(
            f"MaxWaitTimeInSeconds is {wait}. For built-in algorithms that do not checkpoint it "
            f"can be at most {_LONGEST_WAIT_WITHOUT_CHECKPOINTS}."
        )
    if params["ResourceConfig"].get("KeepAlivePeriodInSeconds"):
        raise invalid(
            "KeepAlivePeriodInSeconds cannot be used with managed spot training, whose instances "
            "are not kept in a warm pool: leave one of the two out."
        )
