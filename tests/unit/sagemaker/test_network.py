from typing import Any

import boto3
import pytest

from local.sagemaker.errors import ServiceError
from local.sagemaker.service import SageMakerService
from tests.unit.sagemaker.surroundings import REGION, TestAws, job_request, train

_PERMISSIONS = (
    "ec2:CreateNetworkInterface",
    "ec2:CreateNetworkInterfacePermission",
    "ec2:DeleteNetworkInterface",
    "ec2:DeleteNetworkInterfacePermission",
    "ec2:DescribeDhcpOptions",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
)


def _network(block: str) -> tuple[str, str]:
    ec2 = boto3.client("ec2", region_name=REGION)
    vpc = ec2.create_vpc(CidrBlock=block)["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock=block)["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName="jobs", Description="jobs", VpcId=vpc)["GroupId"]
    return subnet, group


def _config(subnet: str, group: str) -> dict[str, Any]:
    return {"VpcConfig": {"Subnets": [subnet], "SecurityGroupIds": [group]}}


def test_a_job_in_a_vpc_runs_and_places_its_interfaces_as_its_role(
    sagemaker: SageMakerService, aws: TestAws
) -> None:
    subnet, group = _network("10.1.0.0/24")
    job = train(sagemaker, "inside", **_config(subnet, group))
    assert job["TrainingJobStatus"] == "Completed", job
    assert job["VpcConfig"] == _config(subnet, group)["VpcConfig"]
    base = "arn:aws:ec2:us-east-1:000000000000"
    created = [found for found in aws.authorized if found[0] == "ec2:CreateNetworkInterface"]
    assert sorted(resource for _, resource, _ in created) == [
        f"{base}:network-interface/*",
        f"{base}:security-group/{group}",
        f"{base}:subnet/{subnet}",
    ]
    (handed,) = [found for found in aws.authorized if found[0] == "ec2:DeleteNetworkInterface"]
    assert handed[2]["ec2:Subnet"] == f"{base}:subnet/{subnet}"


@pytest.mark.parametrize("action", _PERMISSIONS)
def test_a_role_that_may_not_place_interfaces_is_refused(
    sagemaker: SageMakerService, aws: TestAws, action: str
) -> None:
    subnet, group = _network("10.1.0.0/24")
    aws.denied.add(action)
    with pytest.raises(ServiceError, match=f"not authorized to perform: {action} on resource"):
        sagemaker.call("CreateTrainingJob", job_request("refused", **_config(subnet, group)))


def test_subnets_and_groups_that_are_not_there_are_refused_in_the_words_of_ec2(
    sagemaker: SageMakerService,
) -> None:
    subnet, group = _network("10.1.0.0/24")
    for wrong in (_config("subnet-12345678", group), _config(subnet, "sg-12345678")):
        with pytest.raises(ServiceError, match=r"(subnet|sg)-12345678'.* does not exist") as caught:
            sagemaker.call("CreateTrainingJob", job_request("refused", **wrong))
        assert caught.value.code == "ValidationException"


def test_subnets_and_groups_of_several_vpcs_are_refused(sagemaker: SageMakerService) -> None:
    subnet, _ = _network("10.1.0.0/24")
    _, group = _network("10.2.0.0/24")
    with pytest.raises(ServiceError, match="must belong to one VPC"):
        sagemaker.call("CreateTrainingJob", job_request("refused", **_config(subnet, group)))


@pytest.mark.parametrize(
    ("instance_type", "own_disks"),
    [
        ("ml.g5.xlarge", True),
        ("ml.g4dn.xlarge", True),
        ("ml.p4d.24xlarge", True),
        ("ml.p5.48xlarge", True),
        ("ml.r5d.xlarge", True),
        ("ml.m5.xlarge", False),
        ("ml.c5n.xlarge", False),
        ("ml.p3.2xlarge", False),
    ],
)
def test_a_volume_key_is_refused_for_instances_that_have_disks_of_their_own(
    sagemaker: SageMakerService, aws: TestAws, instance_type: str, own_disks: bool
) -> None:
    request = job_request("sealed")
    request["ResourceConfig"] |= {
        "InstanceType": instance_type,
        "VolumeKmsKeyId": "1234abcd-12ab-34cd-56ef-1234567890ab",
    }
    # What comes after the check of the type, so that no job is made.
    aws.denied.add("kms:CreateGrant")
    with pytest.raises(ServiceError, match="NVMe" if own_disks else "kms:CreateGrant"):
        sagemaker.call("CreateTrainingJob", request)
