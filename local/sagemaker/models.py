"""Models and endpoint configurations: what an endpoint is made of."""

from collections.abc import Mapping
from typing import Any

from local.sagemaker.arns import Arns
from local.sagemaker.errors import invalid
from local.sagemaker.limits import Limits
from local.sagemaker.programs import Programs
from local.sagemaker.registry import Registry
from local.sagemaker.resources import Resources, without_tags
from local.sagemaker.store import Document, Store
from local.sagemaker.tags import Tags

MODEL = "model"
CONFIG = "endpoint-config"

_UNSUPPORTED_VARIANT = {
    "ServerlessConfig": "serverless variants",
    "ManagedInstanceScaling": "inference components",
    "CoreDumpConfig": "core dumps",
    "InstancePools": "instance pools",
    "CapacityReservationConfig": "capacity reservations",
}
_UNSUPPORTED_CONFIG = {
    "AsyncInferenceConfig": "asynchronous inference",
    "ExplainerConfig": "explainers",
    "ShadowProductionVariants": "shadow variants",
    "ExecutionRoleArn": "inference components",
    "VpcConfig": "a VPC",
}


class Models:
    """The operations on models."""

    def __init__(
        self, store: Store, arns: Arns, tags: Tags, registry: Registry, programs: Programs
    ) -> None:
        self._models = Resources(
            store,
            arns,
            tags,
            kind=MODEL,
            noun="Model",
            taken=lambda arn: invalid(f'Cannot create already existing model "{arn}".'),
            missing=lambda arn: invalid(f'Could not find model "{arn}".'),
        )
        self._registry = registry
        self._programs = programs

    def create(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer CreateModel; as on AWS, the artifact is not looked at before it is served."""
        self._check(params)
        members = {"EnableNetworkIsolation": False, **without_tags(params)}
        return {"ModelArn": self._models.create(params, members)["ModelArn"]}

    def describe(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer DescribeModel."""
        return self.get(params["ModelName"])

    def delete(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer DeleteModel; endpoints that serve the model go on."""
        self._models.delete(params["ModelName"])
        return {}

    def list(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer ListModels; as on AWS, a page is cut before its names are filtered."""
        return self._models.page(params, "Models", late=("NameContains",))

    def get(self, name: str) -> Document:
        """Find a model.

        Raises:
            ServiceError: when there is none of the name.
        """
        return self._models.get(name)

    def container(self, model: Mapping[str, Any]) -> dict[str, Any]:
        """Give image, model data and environment of a model, out of its package if it names one.

        Raises:
            ServiceError: when the package is no more, or what it names cannot run here.
        """
        container = dict(_containers(model)[0])
        package_name = container.pop("ModelPackageName", None)
        if package_name:
            specification = self._registry.package(package_name).get("InferenceSpecification")
            if not specification:
                raise invalid(f"Model package {package_name} has no InferenceSpecification.")
            packaged = dict(specification["Containers"][0])
            environment = {
                **packaged.get("Environment", {}),
                **container.get("Environment", {}),
            }
            container = {**packaged, **container, "Environment": environment}
        source = container.get("ModelDataSource", {}).get("S3DataSource")
        if source:
            container["ModelDataUrl"] = source["S3Uri"]
        return container

    def _check(self, params: Mapping[str, Any]) -> None:
        if "ExecutionRoleArn" not in params:
            raise invalid("The model needs an ExecutionRoleArn: its image and data are read as it.")
        if params.get("VpcConfig"):
            raise invalid("The local platform has no VPC for models yet: leave VpcConfig out.")
        containers = _containers(params)
        if len(containers) != 1:
            raise invalid(
                f"The model has {len(containers)} containers. The local platform serves exactly "
                "one: give PrimaryContainer, or Containers with one entry."
            )
        given = containers[0]
        if given.get("Mode", "SingleModel") != "SingleModel":
            raise invalid("The local platform serves no multi-model containers yet.")
        if bool(given.get("Image")) == bool(given.get("ModelPackageName")):
            raise invalid("A container needs either an Image or a ModelPackageName.")
        source = given.get("ModelDataSource", {}).get("S3DataSource", {})
        if source and (source["S3DataType"], source["CompressionType"]) != ("S3Object", "Gzip"):
            raise invalid(
                "The local platform reads model data as one model.tar.gz: S3DataType S3Object "
                "with CompressionType Gzip."
            )
        container = self.container(params)
        self._programs.check_serving(container.get("Image", ""), container.get("Environment", {}))


class EndpointConfigs:
    """The operations on endpoint configurations."""

    def __init__(
        self, store: Store, arns: Arns, tags: Tags, models: Models, limits: Limits
    ) -> None:
        self._configs = Resources(
            store,
            arns,
            tags,
            kind=CONFIG,
            noun="EndpointConfig",
            taken=lambda arn: invalid(
                f'Cannot create already existing endpoint configuration "{arn}".'
            ),
            missing=lambda arn: invalid(f'Could not find endpoint configuration "{arn}".'),
        )
        self._models = models
        self._limits = limits

    def create(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer CreateEndpointConfig."""
        _refuse(params, _UNSUPPORTED_CONFIG)
        names = [variant.get("VariantName") for variant in params["ProductionVariants"]]
        if len(set(names)) < len(names):
            raise invalid("The names of production variants must differ from one another.")
        for variant in params["ProductionVariants"]:
            self._check_variant(variant)
        members = without_tags(params)
        for variant in members["ProductionVariants"]:
            variant.setdefault("InitialVariantWeight", 1.0)
        return {"EndpointConfigArn": self._configs.create(params, members)["EndpointConfigArn"]}

    def describe(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer DescribeEndpointConfig."""
        return self.get(params["EndpointConfigName"])

    def delete(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer DeleteEndpointConfig; endpoints that were made from it go on."""
        self._configs.delete(params["EndpointConfigName"])
        return {}

    def list(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer ListEndpointConfigs."""
        return self._configs.page(params, "EndpointConfigs")

    def get(self, name: str) -> Document:
        """Find a configuration.

        Raises:
            ServiceError: when there is none of the name.
        """
        return self._configs.get(name)

    def _check_variant(self, variant: Mapping[str, Any]) -> None:
        _refuse(variant, _UNSUPPORTED_VARIANT)
        name = variant["VariantName"]
        for needed in ("ModelName", "InstanceType", "InitialInstanceCount"):
            if needed not in variant:
                raise invalid(f"Production variant {name} needs {needed}.")
        if variant["InitialInstanceCount"] > self._limits.instances:
            raise invalid(too_many_instances(name, variant["InitialInstanceCount"], self._limits))
        self._models.get(variant["ModelName"])


def too_many_instances(variant: str, count: int, limits: Limits) -> str:
    """Say that a laptop does not run as many model servers."""
    return (
        f"Production variant {variant} asks for {count} instances. The local platform runs a "
        f"server process for each, and at most {limits.instances} of one variant."
    )


def _containers(model: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    primary = model.get("PrimaryContainer")
    return [*([primary] if primary else []), *model.get("Containers", [])]


def _refuse(given: Mapping[str, Any], unsupported: Mapping[str, str]) -> None:
    for name, what in unsupported.items():
        if given.get(name):
            raise invalid(f"The local platform has no {what} yet: leave {name} out.")
