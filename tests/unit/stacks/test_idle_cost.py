import copy
from decimal import Decimal
from typing import Any

import pytest

from environments.prices import prices
from stacks.idle_cost import ALWAYS, DEPLOYED, RUNNING, Line, lines

HOURS = 730


def _lines(region: str = "us-east-1", **resources: dict[str, Any]) -> list[Line]:
    return lines([({"Resources": resources}, region)], prices())


def _one(kind: str, region: str = "us-east-1", **properties: Any) -> Line:
    (line,) = _lines(region, One={"Type": kind, "Properties": properties})
    return line


def _alarm(**properties: Any) -> dict[str, Any]:
    read = {"Namespace": "AWS/Lambda", "MetricName": "Errors", "Period": 300}
    return {"Type": "AWS::CloudWatch::Alarm", "Properties": read | properties}


ENDPOINT: dict[str, Any] = {
    "Config": {
        "Type": "AWS::SageMaker::EndpointConfig",
        "Condition": "Served",
        "Properties": {
            "ProductionVariants": [
                {"VariantName": "A", "InstanceType": "ml.m5.xlarge", "InitialInstanceCount": 5}
            ]
        },
    },
    "Endpoint": {
        "Type": "AWS::SageMaker::Endpoint",
        "Condition": "Served",
        "Properties": {
            "EndpointName": "digits",
            "EndpointConfigName": {"Fn::GetAtt": ["Config", "EndpointConfigName"]},
        },
    },
}
TARGET = {
    "Type": "AWS::ApplicationAutoScaling::ScalableTarget",
    "Properties": {"ResourceId": "endpoint/digits/variant/A", "MinCapacity": 2, "MaxCapacity": 9},
}
CONDITIONS = {"Served": {"Fn::Not": [{"Fn::Equals": [{"Ref": "ModelPackageArn"}, "none"]}]}}


def _endpoint(**resources: dict[str, Any]) -> list[Line]:
    template = {"Conditions": CONDITIONS, "Resources": ENDPOINT | resources}
    return lines([(template, "us-east-1")], prices())


def test_hours_are_multiplied_by_the_count_and_the_hours_of_a_month() -> None:
    line = _one(
        "AWS::EC2::VPCEndpoint",
        ServiceName="com.amazonaws.us-east-1.sagemaker.api",
        VpcEndpointType="Interface",
        SubnetIds=["a", "b"],
    )
    assert line.what == "interface endpoint sagemaker.api, by zone"
    assert line.month(HOURS) == Decimal("14.60")


def test_what_is_priced_by_month_is_not_multiplied_by_hours() -> None:
    assert _one("AWS::KMS::Key").month(HOURS) == 1
    assert _one("AWS::CloudWatch::Dashboard").month(HOURS) == 3


def test_a_gateway_endpoint_is_shown_and_costs_nothing() -> None:
    assert _one("AWS::EC2::VPCEndpoint", VpcEndpointType="Gateway").month(HOURS) == 0


def test_a_nat_gateway_of_a_region_without_a_price_is_unknown_with_a_guide() -> None:
    line = _one("AWS::EC2::NatGateway", "eu-north-1")
    assert line.month(HOURS) is None
    assert line.guide(HOURS) == Decimal("32.85")


def test_an_endpoint_counts_at_its_least_instances_once_a_model_is_deployed() -> None:
    instances, volumes = _endpoint(Target=TARGET)
    assert (instances.what, instances.count) == ("endpoint digits: ml.m5.xlarge", 2)
    assert instances.month(HOURS) == Decimal("335.80")
    assert {instances.when, volumes.when} == {DEPLOYED}
    # The template says nothing of their size.
    assert volumes.month(HOURS) is None


def test_the_disks_of_an_endpoint_are_counted_for_each_of_its_instances() -> None:
    config = copy.deepcopy(ENDPOINT["Config"])
    config["Properties"]["ProductionVariants"][0]["VolumeSizeInGB"] = 30
    _, volumes = _endpoint(Config=config, Target=TARGET)
    assert (volumes.count, volumes.month(HOURS)) == (60, Decimal("8.40"))


def test_disks_that_instances_bring_themselves_are_in_the_price_of_these() -> None:
    config = copy.deepcopy(ENDPOINT["Config"])
    config["Properties"]["ProductionVariants"][0]["InstanceType"] = "ml.g5.xlarge"
    (line,) = _endpoint(Config=config)
    assert line.what == "endpoint digits: ml.g5.xlarge"


def test_an_endpoint_that_does_not_scale_counts_at_its_instances() -> None:
    assert _endpoint()[0].count == 5


def test_an_endpoint_without_instances_is_unknown_and_not_free() -> None:
    (line,) = _lines(
        Config={
            "Type": "AWS::SageMaker::EndpointConfig",
            "Properties": {"ProductionVariants": [{"VariantName": "A", "ServerlessConfig": {}}]},
        }
    )
    assert line.month(HOURS) is None


def test_a_notebook_costs_its_hours_while_it_runs_and_its_volume_always() -> None:
    kind = "AWS::SageMaker::NotebookInstance"
    properties = {"InstanceType": "ml.t3.medium", "VolumeSizeInGB": 20}
    hours, volume = _lines(One={"Type": kind, "Properties": properties})
    assert (hours.when, hours.month(HOURS)) == (RUNNING, Decimal("36.50"))
    assert (volume.when, volume.month(HOURS)) == (ALWAYS, Decimal("2.80"))


def test_equal_things_of_several_templates_are_one_line() -> None:
    template = {"Resources": {"One": _alarm(), "Two": _alarm()}}
    (line,) = lines([(template, "eu-west-1"), (template, "eu-west-1")], prices())
    assert (line.count, line.month(HOURS)) == (4, Decimal("0.40"))


def test_a_custom_metric_is_paid_once_however_many_alarms_read_it() -> None:
    own = _alarm(Namespace="Platform/Quotas")
    found = _lines(One=own, Two=own, Three=_alarm(Namespace="Platform/Quotas", MetricName="More"))
    assert {line.what.partition(" ")[0]: line.count for line in found} == {"alarm": 3, "custom": 2}


def test_metrics_that_sagemaker_publishes_are_not_custom() -> None:
    (line,) = _lines(One=_alarm(Namespace="/aws/sagemaker/Endpoints"))
    assert line.what == "alarm"


def test_an_alarm_is_paid_by_the_metrics_that_it_reads() -> None:
    stat = {"Metric": {"Namespace": "AWS/Lambda", "MetricName": "Errors"}, "Period": 60}
    reads = [{"Id": "a", "MetricStat": stat}, {"Id": "b", "MetricStat": stat}]
    (line,) = _lines(
        One={
            "Type": "AWS::CloudWatch::Alarm",
            "Properties": {"Metrics": [*reads, {"Id": "c", "Expression": "a+b"}]},
        }
    )
    assert line.count == 2


@pytest.mark.parametrize("change", [{"Period": 10}, {"ThresholdMetricId": "band"}])
def test_an_alarm_that_is_dearer_than_standard_is_unknown(change: dict[str, Any]) -> None:
    (line,) = _lines(One=_alarm(**change))
    assert line.month(HOURS) is None


def test_target_tracking_makes_two_alarms() -> None:
    line = _one("AWS::ApplicationAutoScaling::ScalingPolicy", PolicyType="TargetTrackingScaling")
    assert (line.what, line.count) == ("alarm", 2)


@pytest.mark.parametrize(
    ("kind", "properties"),
    [
        ("AWS::ElasticLoadBalancingV2::LoadBalancer", {}),
        ("AWS::DynamoDB::Table", {}),
        ("AWS::SSM::Parameter", {"Tier": "Advanced"}),
        ("AWS::EC2::VPCEndpoint", {"VpcEndpointType": "GatewayLoadBalancer"}),
    ],
)
def test_what_cannot_be_priced_is_an_unknown_line(kind: str, properties: dict[str, Any]) -> None:
    line = _one(kind, **properties)
    assert line.month(HOURS) is None
    assert line.guide(HOURS) is None


def test_what_a_template_does_not_count_is_unknown() -> None:
    line = _one("AWS::EC2::VPCEndpoint", VpcEndpointType="Interface", SubnetIds={"Ref": "Subnets"})
    assert line.count is None
    assert line.month(HOURS) is None


def test_what_is_free_at_rest_makes_no_line() -> None:
    assert _lines(One={"Type": "AWS::S3::Bucket"}, Two={"Type": "AWS::SSM::Parameter"}) == []


def test_a_condition_of_another_kind_is_named() -> None:
    (line,) = _lines(One={"Type": "AWS::KMS::Key", "Condition": "Wanted"})
    assert line.when == "if Wanted"
