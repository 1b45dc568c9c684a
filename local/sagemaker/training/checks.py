"""What is checked when a training job is created, before anything runs."""

import re
from collections.abc import Mapping
from typing import Any

from local.sagemaker import s3
from local.sagemaker.arns import Arns
from local.sagemaker.errors import invalid
from local.sagemaker.limits import Limits
from local.sagemaker.programs import Programs
from local.sagemaker.roles import CallFailed, Role
from local.sagemaker.training import channels, checkpoints, instances, network
from local.sagemaker.training.cluster import instance_groups

_UNSUPPORTED = {
    "DebugRuleConfigurations": "debugger rules",
    "ProfilerRuleConfigurations": "profiler rules",
    "ExperimentConfig": "experiments",
    "ServerlessJobConfig": "serverless jobs",
    "MlflowConfig": "MLflow",
    "ModelPackageConfig": "model packages made by jobs",
    "SessionChainingConfig": "session chaining",
    "TensorBoardOutputConfig": "TensorBoard output",
}


def check(params: Mapping[str, Any], programs: Programs, limits: Limits) -> str:
    """Check what a request alone tells, and name the algorithm that it runs.

    Raises:
        ServiceError: for what the request lacks or what the local platform does not do yet.
    """
    for name, what in _UNSUPPORTED.items():
        if params.get(name):
            raise invalid(f"The local platform has no {what} yet: leave {name} out.")
    for name in ("AlgorithmSpecification", "ResourceConfig", "StoppingCondition"):
        if name not in params:
            raise invalid(f"{name} is required for a training job.")
    algorithm = _check_algorithm(params, programs)
    instances.check(params["ResourceConfig"], limits)
    image = params["AlgorithmSpecification"]["TrainingImage"]
    anew = bool(algorithm) and not programs.is_own(image)
    anew = anew and not programs.keeps_checkpoints(algorithm)
    instances.check_times(params, restarts_anew=anew)
    if "CheckpointConfig" in params:
        checkpoints.check(params["CheckpointConfig"])
    if params["OutputDataConfig"].get("CompressionType", "GZIP") != "GZIP":
        raise invalid("The local platform uploads models as model.tar.gz: CompressionType GZIP.")
    _parsed(params["OutputDataConfig"]["S3OutputPath"])
    channels.check(
        params.get("InputDataConfig", []),
        params["AlgorithmSpecification"]["TrainingInputMode"],
        [name for name, _, _ in instance_groups(params["ResourceConfig"])],
    )
    return algorithm


def check_access(params: Mapping[str, Any], role: Role, arns: Arns) -> None:
    """Check with the role what AWS looks at before it accepts a job: data, keys and network.

    Raises:
        ServiceError: for a channel without objects, or what the role may not use.
    """
    try:
        role.credentials()
    except CallFailed as error:
        raise invalid(str(error)) from error
    storage, region = s3.Storage(role), arns.region
    for channel in params.get("InputDataConfig", []):
        uri = channel["DataSource"]["S3DataSource"]["S3Uri"]
        bucket, prefix = _parsed(uri)
        because = ""
        try:
            found = next(iter(storage.keys(bucket, prefix, limit=1)), None)
        except CallFailed as error:
            found, because = None, f" Error message from S3: {error}"
        if found is None:
            raise invalid(
                f'No S3 objects found under S3 URL "{uri}" given in input data source. Please '
                f"ensure that the bucket exists in the selected region ({region}), that objects "
                f'exist under that S3 prefix, and that the role "{role.arn}" has "s3:ListBucket" '
                f'permissions on bucket "{bucket}".{because}'
            )
    keys = (
        ("kms:CreateGrant", params["ResourceConfig"].get("VolumeKmsKeyId"), "ec2"),
        ("kms:GenerateDataKey", params["OutputDataConfig"].get("KmsKeyId"), "s3"),
    )
    for action, key, via in keys:
        if not key:
            continue
        try:
            role.use_key(action, key, via)
        except CallFailed as error:
            raise invalid(f"The KMS key {key} cannot be used: {error}") from error
    if "VpcConfig" in params:
        network.check(params["VpcConfig"], role, arns)


def _check_algorithm(params: Mapping[str, Any], programs: Programs) -> str:
    specification = params["AlgorithmSpecification"]
    if specification.get("AlgorithmName"):
        raise invalid(
            "The local platform has no algorithm resources yet: give TrainingImage, not "
            "AlgorithmName."
        )
    image = specification.get("TrainingImage")
    if not image:
        raise invalid("AlgorithmSpecification needs a TrainingImage.")
    algorithm = programs.check_training(params)
    for name in ("ContainerEntrypoint", "ContainerArguments"):
        if specification.get(name) and (algorithm or programs.runs_script(params)):
            what = f"The image of {algorithm}" if algorithm else f"The image {image}"
            raise invalid(f"{what} runs as it is here, as a process: leave {name} out.")
    if specification.get("MetricDefinitions") and algorithm and not programs.is_own(image):
        raise invalid(
            "You can't override the metric definitions for Amazon SageMaker algorithms. Please "
            "retry the request without specifying metric definitions."
        )
    for definition in specification.get("MetricDefinitions", []):
        try:
            re.compile(definition["Regex"])
        except re.error as error:
            raise invalid(
                f"The regular expression of metric {definition['Name']} is not valid: {error}."
            ) from error
    return algorithm


def _parsed(uri: str) -> tuple[str, str]:
    try:
        return s3.parse(uri)
    except ValueError as error:
        raise invalid(str(error)) from error
