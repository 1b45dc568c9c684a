"""What the checks before ministack rely on in it."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

TOUCHED = """
from ministack import app
from ministack.core import iam_actions, iam_evaluator, lambda_runtime, responses, router, sigv4
from ministack.services import iam, sts

for module, names in {
    app: "pin_signed_request _handle_pre_body_request _handle_post_body_shortcuts "
    "_handle_special_data_plane_request _handle_s3_control_request _handle_s3_vhost_request "
    "_with_data_plane_headers _extract_s3_vhost_bucket _S3_CONTROL_PREFIX SERVICE_HANDLERS",
    iam_actions: "SERVICE_TO_IAM_NAMESPACE _SERVICE_PROTOCOL _QUERY_XML_NS _CBOR_CAPABLE",
    iam_evaluator: "is_root_access_key resolve_credential find_iam_access_key_account "
    "_sigv2_check SignedRequest _signed_request _verified_key _anonymous _resource_policy "
    "resolve_caller_identity CredentialResolutionError AmbiguousAccessKeyError",
    lambda_runtime: "execution_credentials",
    responses: "_account_from_sts_session request_scope",
    router: "detect_service SERVICE_PATTERNS",
    sigv4: "decode_header_value _remove_dot_segments",
    iam: "_users _access_keys _create_user _create_access_key _delete_access_key _put_user_policy",
    sts: "_sessions register_session",
}.items():
    missing = [name for name in names.split() if not hasattr(module, name)]
    assert not missing, (module.__name__, missing)

# Every service is found by what it is signed for, as by its target.
import botocore.session
from local.emulator.gate import _TOGETHER

session = botocore.session.get_session()
for name in (
    "dynamodb dynamodbstreams kms logs events ssm secretsmanager stepfunctions ecr kinesis sqs "
    "cloudtrail config acm cloudcontrol resourcegroupstaggingapi"
).split():
    model = session.get_service_model(name)
    scope = f"Credential=K/20000101/us-east-1/{model.signing_name}/aws4_request, S"
    head = {"authorization": f"AWS4-HMAC-SHA256 {scope}"}
    aimed = {**head, "x-amz-target": f"{model.metadata['targetPrefix']}.X"}
    signed, called = (router.detect_service("POST", "/", each, {}) for each in (head, aimed))
    names = {iam_actions.SERVICE_TO_IAM_NAMESPACE.get(one, one) for one in (signed, called)}
    assert len(names) == 1 or {signed, called} in _TOGETHER, (name, signed, called)
"""


def test_what_the_gate_touches_is_there(tmp_path: Path) -> None:
    # In a process of its own: ministack reads its environment once, while it is imported.
    script = f"""
from pathlib import Path
from local.emulator import environment
environment.prepare(environment.Settings(port=4599, state=Path({str(tmp_path)!r})))
{TOUCHED}
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["pin_signed_request", "_handle_pre_body_request"])
def test_ministack_calls_what_is_replaced_by_its_name(name: str) -> None:
    from ministack import app

    assert f"{name}(" in inspect.getsource(app.app)
