import json
import re
from pathlib import Path
from typing import Any

import cloudformation_validate
import pytest

RULES = (Path(__file__).parents[2] / "rules" / "sagemaker.guard").read_text(encoding="utf-8")

ISOLATED = {"EnableNetworkIsolation": True, "EnableInterContainerTrafficEncryption": True}
JOB = {"NetworkConfig": ISOLATED}
OPEN_JOB = {"NetworkConfig": dict.fromkeys(ISOLATED, False)}
SCHEDULE = {"MonitoringScheduleConfig": {"MonitoringJobDefinition": JOB}}
OPEN_SCHEDULE = {"MonitoringScheduleConfig": {"MonitoringJobDefinition": OPEN_JOB}}
TAGS = [{"Key": "Environment", "Value": "dev"}]
VPC = {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
PRIVATE = {"ImageConfig": {"RepositoryAccessMode": "Vpc"}}
ECR = {"ImageConfig": {"RepositoryAccessMode": "Platform"}}
SERVERLESS = {"ServerlessConfig": {"MaxConcurrency": 1, "MemorySizeInMB": 2048}}

Properties = dict[str, Any]

# Rule: type, properties that pass it, properties that fail it.
CASES: dict[str, tuple[str, Properties, list[Properties]]] = {
    "SageMaker_1": (
        "NotebookInstance",
        {"DirectInternetAccess": "Disabled"},
        [{}, {"DirectInternetAccess": "Enabled"}],
    ),
    "SageMaker_2": ("NotebookInstance", {"SubnetId": "subnet-1"}, [{}]),
    "SageMaker_3": (
        "NotebookInstance",
        {"RootAccess": "Disabled"},
        [{}, {"RootAccess": "Enabled"}],
    ),
    "SageMaker_4": (
        "EndpointConfig",
        {"ProductionVariants": [{"InitialInstanceCount": 2}, SERVERLESS]},
        [
            {"ProductionVariants": [{"InitialInstanceCount": 1}]},
            {"ProductionVariants": [{"InitialInstanceCount": 2}, {"InitialInstanceCount": 1}]},
        ],
    ),
    "SageMaker_5": (
        "Model",
        {"EnableNetworkIsolation": True},
        [{}, {"EnableNetworkIsolation": False}],
    ),
    "SageMaker_6": ("AppImageConfig", {"Tags": TAGS}, [{}, {"Tags": []}]),
    "SageMaker_7": ("Image", {"Tags": TAGS}, [{}, {"Tags": []}]),
    "SageMaker_8": (
        "NotebookInstance",
        {"PlatformIdentifier": "notebook-al2023-v1"},
        [{}, {"PlatformIdentifier": "notebook-al2-v2"}],
    ),
    "SageMaker_9": ("DataQualityJobDefinition", JOB, [{}, OPEN_JOB]),
    "SageMaker_10": ("ModelExplainabilityJobDefinition", JOB, [{}, OPEN_JOB]),
    "SageMaker_11": ("DataQualityJobDefinition", JOB, [{}, OPEN_JOB]),
    "SageMaker_12": ("ModelBiasJobDefinition", JOB, [{}, OPEN_JOB]),
    "SageMaker_13": ("ModelQualityJobDefinition", JOB, [{}, OPEN_JOB]),
    "SageMaker_14": ("MonitoringSchedule", SCHEDULE, [OPEN_SCHEDULE]),
    "SageMaker_15": ("ModelBiasJobDefinition", JOB, [{}, OPEN_JOB]),
    "SageMaker_16": (
        "Model",
        {"PrimaryContainer": PRIVATE},
        [{"PrimaryContainer": {}}, {"PrimaryContainer": ECR}],
    ),
    "SageMaker_17": (
        "FeatureGroup",
        {"OfflineStoreConfig": {"S3StorageConfig": {"KmsKeyId": "key"}}},
        [{"OfflineStoreConfig": {"S3StorageConfig": {"S3Uri": "s3://bucket"}}}],
    ),
    "SageMaker_18": (
        "FeatureGroup",
        {"OnlineStoreConfig": {"SecurityConfig": {"KmsKeyId": "key"}}},
        [{"OnlineStoreConfig": {"EnableOnlineStore": True}}],
    ),
    "SageMaker_19": (
        "Model",
        {"Containers": [PRIVATE, PRIVATE]},
        [{"Containers": [PRIVATE, {}]}, {"Containers": [ECR]}],
    ),
    "SageMaker_20": ("ModelExplainabilityJobDefinition", JOB, [{}, OPEN_JOB]),
    "SageMaker_21": ("NotebookInstance", {"KmsKeyId": {"Ref": "Key"}}, [{}]),
    "SageMaker_22": ("MonitoringSchedule", SCHEDULE, [OPEN_SCHEDULE]),
    "SageMaker_23": ("InferenceExperiment", {"KmsKey": "key"}, [{}]),
    "SageMaker_24": (
        "InferenceExperiment",
        {"DataStorageConfig": {"KmsKey": "key"}},
        [{"DataStorageConfig": {"Destination": "s3://bucket"}}],
    ),
    "SageMaker_25": ("ModelQualityJobDefinition", JOB, [{}, OPEN_JOB]),
    "sagemaker_endpoint_configuration_kms_key_configured": (
        "EndpointConfig",
        {"KmsKeyId": {"Fn::GetAtt": ["Key", "Arn"]}},
        [{}],
    ),
    "sagemaker_model_in_vpc": ("Model", {"VpcConfig": VPC}, [{}]),
    "sagemaker_domain_in_vpc": (
        "Domain",
        {"AppNetworkAccessType": "VpcOnly"},
        [{}, {"AppNetworkAccessType": "PublicInternetOnly"}],
    ),
    "sagemaker_domain_tagged": ("Domain", {"Tags": TAGS}, [{}, {"Tags": []}]),
    "sagemaker_feature_group_tagged": ("FeatureGroup", {"Tags": TAGS}, [{}, {"Tags": []}]),
    "sagemaker_featuregroup_description": (
        "FeatureGroup",
        {"Description": "Features of customers"},
        [{}, {"Description": ""}],
    ),
    "sagemaker_image_description": (
        "Image",
        {"ImageDescription": "Our kernel"},
        [{}, {"ImageDescription": ""}],
    ),
}

# What a control exempts.
EXEMPT: list[tuple[str, str, Properties]] = [
    ("SageMaker_4", "EndpointConfig", {"ProductionVariants": [SERVERLESS]}),
    ("SageMaker_16", "Model", {"Containers": [PRIVATE]}),
    ("SageMaker_17", "FeatureGroup", {}),
    ("SageMaker_18", "FeatureGroup", {}),
    ("SageMaker_14", "MonitoringSchedule", {"MonitoringJobDefinitionName": "job"}),
    ("SageMaker_22", "MonitoringSchedule", {"MonitoringJobDefinitionName": "job"}),
]


@pytest.fixture(scope="module")
def engine() -> Any:
    return cloudformation_validate.CompositeEngine(
        cloudformation_validate.CompositeEngineConfig(
            guard_rules=[
                cloudformation_validate.ExternalRuleSource(name="security-hub", content=RULES)
            ]
        )
    )


def _fires(engine: Any, rule: str, kind: str, properties: Properties) -> bool:
    resource = {"Type": f"AWS::SageMaker::{kind}", "Properties": properties}
    template = json.dumps({"Resources": {"Resource": resource}}).encode()
    return any(found.rule_id == rule for found in engine.validate_template(template).diagnostics)


def test_every_rule_has_a_case_and_every_control_a_rule() -> None:
    rules = re.findall(r"^rule (\w+)", RULES, re.MULTILINE)
    assert sorted(rules) == sorted(CASES)
    assert {f"SageMaker_{control}" for control in range(1, 26)} <= set(rules)


@pytest.mark.parametrize("rule", CASES)
def test_what_satisfies_a_rule_passes_it(engine: Any, rule: str) -> None:
    kind, good, _ = CASES[rule]
    assert not _fires(engine, rule, kind, good)


@pytest.mark.parametrize(
    ("rule", "kind", "properties"),
    [
        pytest.param(rule, kind, bad, id=f"{rule}-{index}")
        for rule, (kind, _, bads) in CASES.items()
        for index, bad in enumerate(bads)
    ],
)
def test_what_breaks_a_rule_fails_it(
    engine: Any,
    rule: str,
    kind: str,
    properties: Properties,
) -> None:
    assert _fires(engine, rule, kind, properties)


@pytest.mark.parametrize(("rule", "kind", "properties"), EXEMPT)
def test_what_a_control_exempts_passes(
    engine: Any,
    rule: str,
    kind: str,
    properties: Properties,
) -> None:
    assert not _fires(engine, rule, kind, properties)
