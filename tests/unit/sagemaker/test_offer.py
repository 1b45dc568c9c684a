"""What is offered, what is refused by name, and what the documentation says of both."""

import asyncio
import re
from collections.abc import Iterator

import botocore.session
import pytest

from local.emulator import autoscaling
from local.platform.home import CHECKOUT
from local.sagemaker.errors import ServiceError
from local.sagemaker.service import SageMakerService
from local.sagemaker.validation import service_model

PAGE = (CHECKOUT / "docs" / "local-platform.md").read_text()
MODEL = botocore.session.get_session().get_service_model("application-autoscaling")


def section(title: str) -> str:
    return PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]


def rows(text: str) -> Iterator[tuple[str, ...]]:
    for line in text.splitlines():
        cells = tuple(cell.strip() for cell in line.strip("|").split("|"))
        if line.startswith("| `"):
            yield cells


def test_the_page_names_every_operation_that_passes_to_moto_and_why() -> None:
    found = {name.strip("`"): why for name, why in rows(section("Passed to moto"))}
    assert found == autoscaling.OFFERED


def test_the_page_names_every_operation_of_sagemaker(sagemaker: SageMakerService) -> None:
    listed = section("Operations of SageMaker").partition("`InvokeEndpoint` is")[0]
    assert re.findall(r"`(\w+)`", listed) == sorted(sagemaker._operations)


@pytest.mark.parametrize("name", sorted({*MODEL.operation_names} - {*autoscaling.OFFERED}))
def test_what_moto_would_only_keep_is_refused_by_name(name: str) -> None:
    with pytest.raises(autoscaling.Refused, match=f"{name} is an operation .* does not offer"):
        autoscaling.call(name, {})


def test_every_other_operation_of_sagemaker_is_refused_by_name(
    sagemaker: SageMakerService,
) -> None:
    others = {*service_model().operation_names} - {*sagemaker._operations}
    assert {"CreateInferenceComponent", "CreateTransformJob", "CreatePipeline"} <= others
    for name in others:
        with pytest.raises(ServiceError, match=f"{name} is an operation of SageMaker") as refused:
            sagemaker.call(name, {})
        assert refused.value.code == "UnknownOperationException"


@pytest.mark.parametrize("path", ["async-invocations", "invocations-response-stream"])
def test_other_ways_to_invoke_are_refused_by_name(sagemaker: SageMakerService, path: str) -> None:
    answer = sagemaker.handle_runtime("POST", f"/endpoints/e/{path}", {}, b"", {})
    status, headers, body = asyncio.run(answer)
    assert (status, headers["x-amzn-ErrorType"]) == (404, "UnknownOperationException")
    assert path in body.decode()


def test_an_inference_component_is_refused_by_name(sagemaker: SageMakerService) -> None:
    headers = {"X-Amzn-SageMaker-Inference-Component": "part"}
    answer = sagemaker.handle_runtime("POST", "/endpoints/e/invocations", headers, b"", {})
    status, _, body = asyncio.run(answer)
    assert status == 400
    assert "X-Amzn-SageMaker-Inference-Component" in body.decode()
