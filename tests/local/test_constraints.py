"""Each constraint of AWS's description of each operation, broken alone, as bytes over HTTP.

Nothing of a client checks these requests. `make test` sends a part of them, always the same;
`make soak` sends all, and with -rP prints how many were answered rightly.
"""

import json
import os
import random
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.httpsession import URLLib3Session

from local.sagemaker.validation import service_model
from tests.local import constraints
from tests.local.constraints import Broken
from tests.platform import LocalPlatform

PART = int(os.environ.get("SMP_CONSTRAINTS", "100"))
RIGHT = 0.99
Send = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def send(platform: LocalPlatform) -> Send:
    """Sign and send a request as bytes; gives status, code and message of the answer."""
    credentials = platform.session.get_credentials()
    assert credentials is not None
    session = URLLib3Session()

    def sent(name: str, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, str, str]:
        request = AWSRequest("POST", f"{platform.endpoint_url}{path}", {**headers}, body)
        SigV4Auth(credentials, name, "us-east-1").add_auth(request)
        answer = session.send(request.prepare())
        code = answer.headers.get("x-amzn-ErrorType", "")
        try:
            document = json.loads(answer.content or b"{}")
        except ValueError:
            document = {}
        code = code or str(document.get("__type", ""))
        message = str(document.get("message") or document.get("Message") or "")
        return answer.status_code, code.rpartition("#")[2].partition(":")[0], message

    return sent


def judged(platform_answers: Callable[[Broken], tuple[int, str, str]], all_: list[Broken]) -> None:
    """Compare every answer with what AWS answers, and say how many are the same."""
    part = all_ if len(all_) <= PART else random.Random(1).sample(all_, PART)
    failed, wrong = [], []
    for one in part:
        status, code, message = platform_answers(one)
        if status >= 500:
            failed.append(f"{one}: {status} {message}")
        elif (status, code) != (400, one.code):
            wrong.append(f"{one}: {status} {code} {message[:200]}, and not {one.code}")
    share = 1 - (len(failed) + len(wrong)) / len(part)
    print(f"{share:.2%} of {len(part)} (of {len(all_)}) broken requests are answered as AWS does")
    print(*failed, *wrong, sep="\n")
    assert not failed
    assert share >= RIGHT, "\n".join(wrong)


@pytest.mark.soak
@pytest.mark.parametrize(
    ("name", "service", "target", "other"),
    [
        ("sagemaker", "sagemaker", "SageMaker", "AttachClusterNodeVolume"),
        (
            "servicequotas",
            "service-quotas",
            "ServiceQuotasV20190624",
            "AssociateServiceQuotaTemplate",
        ),
        (
            "application-autoscaling",
            "application-autoscaling",
            "AnyScaleFrontendService",
            "PutScheduledAction",
        ),
    ],
    ids=["sagemaker", "service-quotas", "application-autoscaling"],
)
def test_a_request_with_one_constraint_broken_gets_the_error_that_aws_has_for_it(
    send: Send, name: str, service: str, target: str, other: str
) -> None:
    def ask(operation: str, request: Mapping[str, Any]) -> tuple[int, str, str]:
        headers = {
            "X-Amz-Target": f"{target}.{operation}",
            "Content-Type": "application/x-amz-json-1.1",
        }
        return send(name, "/", headers, json.dumps(request).encode())

    # An operation that is not offered is answered with those that are.
    _, _, message = ask(other, {})
    offered = re.findall(r"[A-Z][A-Za-z]+", message.rpartition("offers: ")[2])
    assert len(offered) >= 8
    broken = [one for operation in offered for one in constraints.requests(service, operation)]
    assert len(broken) > 50
    judged(lambda one: ask(one.operation, one.request), broken)


@pytest.mark.soak
def test_an_invocation_with_one_constraint_broken_gets_the_error_that_aws_has_for_it(
    send: Send,
) -> None:
    model = service_model("sagemaker-runtime").operation_model("InvokeEndpoint")
    shape = model.input_shape
    assert shape is not None
    broken = [
        one
        for one in constraints.requests("sagemaker-runtime", "InvokeEndpoint")
        # What is no text cannot be said in a path or a header, nor can what HTTP itself changes.
        if one.code == constraints.VALUE and one.kind != "required" and one.path != "Body"
        if (text := one.request[one.path]).isascii() and text.isprintable() and text.strip()
    ]
    assert len(broken) > 10

    def ask(one: Broken) -> tuple[int, str, str]:
        headers = {
            str(shape.members[name].serialization["name"]): value
            for name, value in one.request.items()
            if shape.members[name].serialization.get("location") == "header"
        }
        path = f"/endpoints/{quote(one.request['EndpointName'], safe='')}/invocations"
        status, code, message = send("sagemaker", path, headers, b"1,2")
        # The runtime has an error of its own for what the control plane calls ValidationException,
        # and the same for an endpoint that is not there, which is none of these.
        same = code == "ValidationError" and "not found" not in message
        return status, constraints.VALUE if same else code, message

    judged(ask, broken)
