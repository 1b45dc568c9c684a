"""The state-change events, in the shapes in which AWS sends them."""

import logging
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from local.sagemaker.faults import Faults
from local.sagemaker.ports import Aws

TRAINING_JOB = "SageMaker Training Job State Change"
ENDPOINT = "SageMaker Endpoint State Change"
NOTEBOOK = "SageMaker Notebook Instance State Change"
MODEL_PACKAGE = "SageMaker Model Package State Change"

_TRAINING = (
    "TrainingJobName",
    "TrainingJobArn",
    "TrainingJobStatus",
    "SecondaryStatus",
    "FailureReason",
    "HyperParameters",
    "AlgorithmSpecification",
    "RoleArn",
    "InputDataConfig",
    "OutputDataConfig",
    "ResourceConfig",
    "VpcConfig",
    "StoppingCondition",
    "CreationTime",
    "TrainingStartTime",
    "TrainingEndTime",
    "LastModifiedTime",
    "SecondaryStatusTransitions",
    "ModelArtifacts",
    "FinalMetricDataList",
)
_NOTEBOOK = (
    "NotebookInstanceArn",
    "NotebookInstanceName",
    "NotebookInstanceStatus",
    "FailureReason",
    "InstanceType",
    "SubnetId",
    "SecurityGroups",
    "RoleArn",
    "KmsKeyId",
    "NetworkInterfaceId",
    "NotebookInstanceLifecycleConfigName",
    "LastModifiedTime",
    "CreationTime",
    "DirectInternetAccess",
)
_PACKAGE = (
    "ModelPackageGroupName",
    "ModelPackageVersion",
    "ModelPackageArn",
    "CreationTime",
    "InferenceSpecification",
    "ModelPackageStatus",
    "ModelPackageStatusDetails",
    "CertifyForMarketplace",
    "ModelApprovalStatus",
    "MetadataProperties",
    "ModelMetrics",
    "LastModifiedTime",
)

_log = logging.getLogger(__name__)


class Events:
    """Sends events, unless a fault is to lose or double them."""

    def __init__(self, aws: Aws, faults: Faults) -> None:
        self._aws = aws
        self._faults = faults

    def training_job(self, job: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        """Tell of a new status or secondary status; its times are strings of milliseconds."""
        detail = {name: job[name] for name in _TRAINING if job.get(name) is not None}
        detail["VpcConfig"] = job.get("VpcConfig", {})
        timed = {name: _timed(value, _milliseconds_text, name) for name, value in detail.items()}
        self._send(
            TRAINING_JOB,
            {**timed, "Tags": dict(tags)},
            job["TrainingJobArn"],
            job["SecondaryStatus"],
        )

    def endpoint(self, endpoint: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        """Tell of a new endpoint status, which events write in upper case with underscores."""
        names = ("EndpointName", "EndpointArn", "EndpointConfigName", "FailureReason")
        detail = {name: endpoint[name] for name in names if endpoint.get(name)}
        detail["ProductionVariants"] = endpoint.get("ProductionVariants", [])
        status = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", endpoint["EndpointStatus"]).upper()
        detail["EndpointStatus"] = status
        for name in ("CreationTime", "LastModifiedTime"):
            detail[name] = float(_milliseconds(endpoint[name]))
        detail["Tags"] = dict(tags)
        self._send(ENDPOINT, detail, endpoint["EndpointArn"], status)

    def notebook(self, notebook: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        """Tell of a new status of a notebook instance; its times are numbers of milliseconds."""
        detail = {name: notebook[name] for name in _NOTEBOOK if notebook.get(name)}
        for name in ("CreationTime", "LastModifiedTime"):
            detail[name] = _milliseconds(notebook[name])
        detail["Tags"] = dict(tags)
        self._send(
            NOTEBOOK, detail, notebook["NotebookInstanceArn"], notebook["NotebookInstanceStatus"]
        )

    def model_package(self, package: Mapping[str, Any]) -> None:
        """Tell that a model package was made or changed; its times are ISO strings."""
        detail = {name: package[name] for name in _PACKAGE if package.get(name) is not None}
        for name in ("CreationTime", "LastModifiedTime"):
            if name in detail:
                moment = datetime.fromtimestamp(detail[name], UTC)
                detail[name] = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
        self._send(MODEL_PACKAGE, detail, package["ModelPackageArn"], package["ModelPackageStatus"])

    def _send(self, detail_type: str, detail: Mapping[str, Any], arn: str, status: str) -> None:
        for _ in range(self._faults.copies_of_event(status)):
            try:
                self._aws.put_event(detail_type, detail, [arn])
            except Exception:
                # Events are best effort, here as on AWS: what they tell of has happened.
                _log.exception("event %s of %s", detail_type, arn)


def _milliseconds(epoch: float) -> int:
    return round(epoch * 1000)


def _milliseconds_text(epoch: float) -> str:
    return str(_milliseconds(epoch))


def _timed(value: object, write: Callable[[float], str], name: str = "") -> object:
    """Write every time in a document, known by the name of its member, in another form."""
    if isinstance(value, Mapping):
        return {key: _timed(item, write, key) for key, item in value.items()}
    if isinstance(value, list):
        return [_timed(item, write) for item in value]
    if name.endswith(("Time", "Timestamp")) and isinstance(value, int | float):
        return write(value)
    return value
