"""What the resources of templates cost a month when nobody uses them.

Every type of resource is either priced here or among the table's `free_at_rest`; one that is
neither, and a setting that cannot be priced, makes a line that is unknown.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Literal

from environments.prices import Price, Prices
from sagemaker_constructs.endpoint import has_local_storage

Unit = Literal["hour", "month", "GB-month"]

ALWAYS = "always"
DEPLOYED = "once a model is deployed"
RUNNING = "while the notebook runs"

# Part of the table that names what costs nothing.
FREE = "free_at_rest"

# Parameter of an endpoint's stack whose default is that there is no endpoint.
_MODEL = "ModelPackageArn"
# Namespaces of metrics that AWS's services publish themselves, at no charge.
_AWS_NAMESPACES = ("AWS/", "/aws/")
# A target tracking policy makes one alarm to add and one to remove capacity.
_ALARMS_OF_TRACKING = 2
_DEFAULT_NOTEBOOK_GB = 5
_UNKNOWN = Price(usd=None)


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that costs something, or may.

    Attributes:
        what: Name of the thing.
        count: How many there are; None when the template does not say.
        unit: What the price is asked for.
        price: Price of one for one unit.
        when: In which state of the environment it costs that.
    """

    what: str
    count: int | None
    unit: Unit
    price: Price
    when: str = ALWAYS

    def month(self, hours: int) -> Decimal | None:
        """What it costs a month of so many hours; None when that is unknown."""
        return self._month(self.price.usd, hours)

    def guide(self, hours: int) -> Decimal | None:
        """What it would cost a month in the guide region."""
        return self._month(self.price.guide, hours)

    def _month(self, each: Decimal | None, hours: int) -> Decimal | None:
        if each is None or self.count is None:
            return None
        return each * self.count * (hours if self.unit == "hour" else 1)


@dataclass(frozen=True, slots=True)
class _Resource:
    id: str
    type: str
    properties: Mapping[str, Any]
    when: str
    template: Mapping[str, Any]
    region: str
    table: Prices
    metrics: set[str]

    def siblings(self, kind: str) -> Iterator[Mapping[str, Any]]:
        """Properties of the resources of a type in the same template."""
        for one in self.template["Resources"].values():
            if one["Type"] == kind:
                yield one.get("Properties", {})


def lines(templates: Iterable[tuple[Mapping[str, Any], str]], table: Prices) -> list[Line]:
    """The lines of templates, each given with its region; those of one kind are one line."""
    found: dict[Line, int | None] = {}
    metrics: set[str] = set()
    for template, region in templates:
        for id_, one in template["Resources"].items():
            resource = _Resource(
                id=id_,
                type=one["Type"],
                properties=one.get("Properties", {}),
                when=_when(template, one.get("Condition")),
                template=template,
                region=region,
                table=table,
                metrics=metrics,
            )
            for line in _judge(resource):
                key = replace(line, count=0)
                before = found.get(key, 0)
                known = before is not None and line.count is not None
                found[key] = (before or 0) + (line.count or 0) if known else None
    return [replace(line, count=count) for line, count in found.items()]


def priced(kind: str, table: Prices) -> bool:
    """Whether what a type of resource costs at rest was judged."""
    return kind in _PRICED or kind in table.free_at_rest


def _when(template: Mapping[str, Any], condition: str | None) -> str:
    if condition is None:
        return ALWAYS
    text = json.dumps(template.get("Conditions", {}).get(condition))
    return DEPLOYED if f'"{_MODEL}"' in text else f"if {condition}"


def _judge(resource: _Resource) -> Iterator[Line]:
    if resource.type in _PRICED:
        yield from _PRICED[resource.type](resource)
    elif resource.type not in resource.table.free_at_rest:
        unknown = Price(usd=None, key=f"{FREE}.{resource.type}")
        yield Line(f"{resource.type}: not judged", 1, "month", unknown, resource.when)


def _alarm(resource: _Resource) -> Iterator[Line]:
    """An alarm costs by the metrics that it reads, each of which may be a custom one."""
    properties = resource.properties
    stats = [one["MetricStat"] for one in properties.get("Metrics", []) if "MetricStat" in one]
    read: list[Mapping[str, Any]] = [{**stat["Metric"], "Period": stat["Period"]} for stat in stats]
    read = read or [properties]
    special = "ThresholdMetricId" in properties or any(
        not isinstance(one.get("Period"), int) or one["Period"] < 60 for one in read
    )
    if special:
        yield Line("alarm, not standard", len(read), "month", _UNKNOWN, resource.when)
    else:
        yield Line("alarm", len(read), "month", _shared(resource, "alarm_month"), resource.when)
    for one in read:
        namespace = one.get("Namespace")
        name = json.dumps(
            [resource.region, namespace, one.get("MetricName"), one.get("Dimensions")]
        )
        if name not in resource.metrics and not str(namespace).startswith(_AWS_NAMESPACES):
            resource.metrics.add(name)
            yield Line(
                f"custom metric of {namespace}, as alarms read it",
                1,
                "month",
                _shared(resource, "metric_month"),
                resource.when,
            )


def _endpoint(resource: _Resource) -> Iterator[Line]:
    name = _name_of_endpoint(resource)
    for variant in resource.properties["ProductionVariants"]:
        kind, count = variant.get("InstanceType"), _instances(resource, name, variant)
        if not isinstance(kind, str):
            yield Line(f"endpoint {name}: not by instance", None, "month", _UNKNOWN, resource.when)
            continue
        price = resource.table.instance("endpoint", kind, resource.region)
        yield Line(f"endpoint {name}: {kind}", count, "hour", price, resource.when)
        yield from _volumes(resource, name, variant, kind, count)


def _volumes(
    resource: _Resource, name: str, variant: Mapping[str, Any], kind: str, count: int | None
) -> Iterator[Line]:
    """The disks of an endpoint's instances, which some types bring themselves."""
    size = variant.get("VolumeSizeInGB")
    if size is None and has_local_storage(kind):
        return
    each = size if isinstance(size, int) else None
    whole = None if each is None or count is None else each * count
    price = resource.table.regional("ml_volume_gb_month", resource.region)
    yield Line(
        f"endpoint {name}: volumes of its instances", whole, "GB-month", price, resource.when
    )


def _name_of_endpoint(resource: _Resource) -> str:
    for one in resource.siblings("AWS::SageMaker::Endpoint"):
        reference = one["EndpointConfigName"]
        if f'"{resource.id}"' in json.dumps(reference):
            return str(one.get("EndpointName", resource.id))
    return resource.id


def _instances(resource: _Resource, endpoint: str, variant: Mapping[str, Any]) -> int | None:
    """How few instances there may be: scaling goes down to its minimum when nobody asks."""
    scaled = f"endpoint/{endpoint}/variant/{variant['VariantName']}"
    count = variant.get("InitialInstanceCount")
    for target in resource.siblings("AWS::ApplicationAutoScaling::ScalableTarget"):
        if target["ResourceId"] == scaled:
            count = target["MinCapacity"]
    return count if isinstance(count, int) else None


def _scaling(resource: _Resource) -> Iterator[Line]:
    price = _shared(resource, "alarm_month")
    if resource.properties["PolicyType"] == "TargetTrackingScaling":
        yield Line("alarm", _ALARMS_OF_TRACKING, "month", price, resource.when)


def _notebook(resource: _Resource) -> Iterator[Line]:
    name = resource.properties.get("NotebookInstanceName", resource.id)
    kind = resource.properties["InstanceType"]
    hour = resource.table.instance("notebook", str(kind), resource.region)
    size = resource.properties.get("VolumeSizeInGB", _DEFAULT_NOTEBOOK_GB)
    volume = resource.table.regional("ml_volume_gb_month", resource.region)
    yield Line(f"notebook {name}: {kind}", 1, "hour", hour, RUNNING)
    yield Line(
        f"notebook {name}: volume, kept while stopped",
        size if isinstance(size, int) else None,
        "GB-month",
        volume,
        resource.when,
    )


def _vpc_endpoint(resource: _Resource) -> Iterator[Line]:
    kind = resource.properties.get("VpcEndpointType", "Gateway")
    name = resource.properties.get("ServiceName")
    service = name.split(".", 3)[-1] if isinstance(name, str) else resource.id
    if kind == "Interface":
        # AWS takes one subnet a zone, and asks for each zone.
        subnets = resource.properties.get("SubnetIds")
        zones = len(subnets) if isinstance(subnets, list) else None
        price = resource.table.regional("interface_endpoint_hour", resource.region)
        yield Line(f"interface endpoint {service}, by zone", zones, "hour", price, resource.when)
    elif kind == "Gateway":
        yield Line("gateway endpoint", 1, "month", Price(usd=Decimal(0)), resource.when)
    else:
        yield Line(f"{kind} endpoint {service}", 1, "month", _UNKNOWN, resource.when)


def _each(what: str, field: str) -> Callable[[_Resource], Iterator[Line]]:
    def line(resource: _Resource) -> Iterator[Line]:
        yield Line(what, 1, "month", _shared(resource, field), resource.when)

    return line


def _nat(resource: _Resource) -> Iterator[Line]:
    price = resource.table.regional("nat_gateway_hour", resource.region)
    yield Line("NAT gateway", 1, "hour", price, resource.when)


def _only(field: str, value: str, default: str) -> Callable[[_Resource], Iterator[Line]]:
    """A type that is free at rest in one way of billing only."""

    def line(resource: _Resource) -> Iterator[Line]:
        found = resource.properties.get(field, default)
        if found != value:
            yield Line(f"{resource.type} with {field} {found}", 1, "month", _UNKNOWN, resource.when)

    return line


def _shared(resource: _Resource, field: str) -> Price:
    return resource.table.shared(field, resource.region)


_PRICED: dict[str, Callable[[_Resource], Iterator[Line]]] = {
    "AWS::ApplicationAutoScaling::ScalingPolicy": _scaling,
    "AWS::CloudWatch::Alarm": _alarm,
    "AWS::CloudWatch::Dashboard": _each("dashboard", "dashboard_month"),
    "AWS::DynamoDB::Table": _only("BillingMode", "PAY_PER_REQUEST", "PROVISIONED"),
    "AWS::EC2::NatGateway": _nat,
    "AWS::EC2::VPCEndpoint": _vpc_endpoint,
    "AWS::KMS::Key": _each("KMS key", "kms_key_month"),
    "AWS::SSM::Parameter": _only("Tier", "Standard", "Standard"),
    "AWS::SageMaker::EndpointConfig": _endpoint,
    "AWS::SageMaker::NotebookInstance": _notebook,
}
