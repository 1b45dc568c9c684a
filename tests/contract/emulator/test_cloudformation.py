import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.exceptions import ClientError

from .conftest import ACCOUNT, Server, allow, eventually

TEMPLATE = (Path(__file__).with_name("endpoint.yaml")).read_text()
PACKAGE = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:model-package/group/"


class Stack:
    def __init__(self, server: Server, name: str) -> None:
        self.cloudformation = server.client("cloudformation")
        self.name = name

    def create(self, template: str, **others: Any) -> str:
        self.cloudformation.create_stack(
            StackName=self.name,
            TemplateBody=template,
            Capabilities=["CAPABILITY_NAMED_IAM"],
            **others,
        )
        return self.settled()

    def update(self, **parameters: str) -> str:
        self.cloudformation.update_stack(
            StackName=self.name,
            UsePreviousTemplate=True,
            Capabilities=["CAPABILITY_NAMED_IAM"],
            Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()],
        )
        return self.settled()

    def delete(self) -> None:
        self.cloudformation.delete_stack(StackName=self.name)
        self.settled()

    def settled(self) -> str:
        found = eventually(self.described, lambda s: not s["StackStatus"].endswith("_PROGRESS"))
        return str(found["StackStatus"])

    def described(self) -> Any:
        stacks = self.cloudformation.list_stacks()["StackSummaries"]
        identifier = next(s["StackId"] for s in stacks if s["StackName"] == self.name)
        return self.cloudformation.describe_stacks(StackName=identifier)["Stacks"][0]

    def reasons(self, logical_id: str) -> list[str]:
        events = self.cloudformation.describe_stack_events(StackName=self.name)["StackEvents"]
        return [
            event["ResourceStatusReason"]
            for event in events
            if event["LogicalResourceId"] == logical_id and event.get("ResourceStatusReason")
        ]

    def output(self, key: str) -> str:
        outputs = self.described()["Outputs"]
        return str(next(o["OutputValue"] for o in outputs if o["OutputKey"] == key))


@pytest.fixture
def stack(server: Server, request: pytest.FixtureRequest) -> Iterator[Stack]:
    found = Stack(server, "s-" + request.node.name.replace("_", "-")[:50])
    yield found
    found.delete()


def test_a_parameter_makes_replaces_and_removes_an_endpoint(server: Server, stack: Stack) -> None:
    sagemaker = server.client("sagemaker")
    assert stack.create(TEMPLATE) == "CREATE_COMPLETE"
    assert stack.update(Package=PACKAGE + "1") == "UPDATE_COMPLETE"
    first = sagemaker.describe_endpoint(EndpointName="cfn-endpoint")["EndpointConfigName"]
    assert stack.output("Endpoint") == "cfn-endpoint"
    assert stack.update(Package=PACKAGE + "2") == "UPDATE_COMPLETE"
    second = sagemaker.describe_endpoint(EndpointName="cfn-endpoint")["EndpointConfigName"]
    assert second != first
    with pytest.raises(ClientError, match="Could not find"):
        sagemaker.describe_endpoint_config(EndpointConfigName=first)
    assert stack.update(Package="none") == "UPDATE_COMPLETE"
    with pytest.raises(ClientError, match="Could not find"):
        sagemaker.describe_endpoint(EndpointName="cfn-endpoint")


def test_an_update_that_fails_goes_back_to_what_served_and_says_why(
    server: Server, stack: Stack
) -> None:
    stack.create(TEMPLATE)
    stack.update(Package=PACKAGE + "1")
    sagemaker = server.client("sagemaker")
    before = sagemaker.describe_endpoint(EndpointName="cfn-endpoint")["EndpointConfigName"]
    found = stack.update(Package=PACKAGE + "2", Fails="did not pass the ping health check")
    assert found == "UPDATE_ROLLBACK_COMPLETE"
    assert "did not pass the ping health check" in stack.reasons("Endpoint")
    after = sagemaker.describe_endpoint(EndpointName="cfn-endpoint")
    assert (after["EndpointConfigName"], after["EndpointStatus"]) == (before, "InService")
    parameters = {p["ParameterKey"]: p["ParameterValue"] for p in stack.described()["Parameters"]}
    assert parameters["Package"] == PACKAGE + "1"


def test_an_endpoint_that_cannot_be_made_leaves_nothing(server: Server, stack: Stack) -> None:
    stack.create(TEMPLATE)
    found = stack.update(Package=PACKAGE + "1", Fails="no capacity")
    assert found == "UPDATE_ROLLBACK_COMPLETE"
    assert "no capacity" in stack.reasons("Endpoint")
    with pytest.raises(ClientError, match="Could not find"):
        server.client("sagemaker").describe_endpoint(EndpointName="cfn-endpoint")


def test_scaling_is_registered_with_the_endpoint_and_removed_with_it(
    server: Server, stack: Stack
) -> None:
    scaling = server.client("application-autoscaling")

    def read() -> tuple[list[Any], list[Any]]:
        return (
            scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"],
            scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"],
        )

    stack.create(TEMPLATE)
    stack.update(Package=PACKAGE + "1")
    targets, policies = read()
    assert (targets[0]["ResourceId"], targets[0]["MaxCapacity"]) == (
        "endpoint/cfn-endpoint/variant/main",
        2,
    )
    assert policies[0]["PolicyType"] == "TargetTrackingScaling"
    stack.update(Package="none")
    assert read() == ([], [])


def test_a_stack_with_a_role_may_do_what_the_role_may_and_no_more(
    server: Server, stack: Stack
) -> None:
    role = server.role(
        "cfn-service-role",
        "cloudformation.amazonaws.com",
        allow("sagemaker:*ModelPackageGroup", "sagemaker:AddTags", "iam:*"),
    )
    assert stack.create(TEMPLATE, RoleARN=role) == "CREATE_COMPLETE"
    assert stack.described()["RoleARN"] == role
    assert stack.update(Package=PACKAGE + "1") == "UPDATE_ROLLBACK_COMPLETE"
    reason = stack.reasons("Model")[0]
    assert "assumed-role/cfn-service-role/AWSCloudFormation is not authorized to perform" in reason
    assert "sagemaker:CreateModel" in reason
    server.allow(
        "cfn-service-role",
        allow("sagemaker:*", "iam:*Role*", "application-autoscaling:*", "cloudwatch:*Alarm*"),
    )
    assert stack.update(Package=PACKAGE + "1") == "UPDATE_COMPLETE"


def test_a_role_that_the_caller_may_not_pass_is_refused(server: Server) -> None:
    role = server.role("cfn-unpassed", "cloudformation.amazonaws.com", allow("*"))
    server.role("cfn-caller", "", allow("cloudformation:*"), trust=f"arn:aws:iam::{ACCOUNT}:root")
    cloudformation = server.assumed("cloudformation", "cfn-caller")
    with pytest.raises(ClientError, match="iam:PassRole"):
        cloudformation.create_stack(StackName="s-unpassed", TemplateBody=TEMPLATE, RoleARN=role)
    other = server.role("cfn-untrusting", "lambda.amazonaws.com", allow("*"))
    with pytest.raises(ClientError, match="is invalid or cannot be assumed"):
        server.client("cloudformation").create_stack(
            StackName="s-untrusted", TemplateBody=TEMPLATE, RoleARN=other
        )


def test_a_stack_without_a_role_acts_as_its_caller(server: Server) -> None:
    server.role("cfn-poor", "", allow("cloudformation:*"), trust=f"arn:aws:iam::{ACCOUNT}:root")
    server.assumed("cloudformation", "cfn-poor").create_stack(
        StackName="s-poor", TemplateBody=TEMPLATE, Capabilities=["CAPABILITY_IAM"]
    )
    stack = Stack(server, "s-poor")
    assert stack.settled() == "ROLLBACK_COMPLETE"
    assert any(
        "assumed-role/cfn-poor/test is not authorized" in reason
        for resource in ("Group", "Role")
        for reason in stack.reasons(resource)
    )


def test_a_type_that_nobody_knows_is_refused_before_anything_is_made(server: Server) -> None:
    template = json.dumps({"Resources": {"A": {"Type": "AWS::SageMaker::Studio"}}})
    with pytest.raises(ClientError, match=r"Unrecognized resource types: \[AWS::SageMaker::Studio"):
        server.client("cloudformation").create_stack(StackName="s-x", TemplateBody=template)


def test_a_property_that_a_type_does_not_have_fails_its_creation(
    server: Server, stack: Stack
) -> None:
    template = yaml.safe_dump(
        {
            "Resources": {
                "G": {
                    "Type": "AWS::SageMaker::ModelPackageGroup",
                    "Properties": {"ModelPackageGroupName": "g-x", "Colour": "red"},
                }
            }
        }
    )
    assert stack.create(template) == "ROLLBACK_COMPLETE"
    assert stack.reasons("G") == ["Encountered unsupported property Colour"]


def test_a_code_repository_of_another_url_replaces_the_old_unless_its_template_names_it(
    server: Server, stack: Stack
) -> None:
    def template(url: str, **more: str) -> str:
        git = {"RepositoryUrl": url, **{k: v for k, v in more.items() if k == "SecretArn"}}
        named = {k: v for k, v in more.items() if k == "CodeRepositoryName"}
        resource = {
            "Type": "AWS::SageMaker::CodeRepository",
            "Properties": {"GitConfig": git, **named},
        }
        outputs = {
            "Arn": {"Value": {"Ref": "R"}},
            "Name": {"Value": {"Fn::GetAtt": ["R", "CodeRepositoryName"]}},
        }
        return yaml.safe_dump({"Resources": {"R": resource}, "Outputs": outputs})

    def update(body: str) -> str:
        stack.cloudformation.update_stack(StackName=stack.name, TemplateBody=body)
        return stack.settled()

    one, two = "https://git.example.com/one.git", "https://git.example.com/two.git"
    secret = f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:git"
    assert stack.create(template(one)) == "CREATE_COMPLETE"
    first, name = stack.output("Arn"), stack.output("Name")
    assert update(template(one, SecretArn=secret)) == "UPDATE_COMPLETE"
    assert stack.output("Arn") == first
    sagemaker = server.client("sagemaker")
    found = sagemaker.describe_code_repository(CodeRepositoryName=name)
    assert found["GitConfig"] == {"RepositoryUrl": one, "SecretArn": secret}
    assert update(template(two)) == "UPDATE_COMPLETE"
    assert stack.output("Arn") != first
    with pytest.raises(ClientError, match="Could not find"):
        sagemaker.describe_code_repository(CodeRepositoryName=name)

    assert update(template(two, CodeRepositoryName="cfn-named")) == "UPDATE_COMPLETE"
    refused = update(template(one, CodeRepositoryName="cfn-named"))
    assert refused == "UPDATE_ROLLBACK_COMPLETE"
    assert "custom-named resource requires replacing" in stack.reasons("R")[0]
    kept = sagemaker.describe_code_repository(CodeRepositoryName="cfn-named")
    assert kept["GitConfig"] == {"RepositoryUrl": two}


def test_a_condition_may_join_a_list_parameter(stack: Stack) -> None:
    template = yaml.safe_dump(
        {
            "Parameters": {"Names": {"Type": "CommaDelimitedList", "Default": ""}},
            "Conditions": {
                "Named": {"Fn::Not": [{"Fn::Equals": ["", {"Fn::Join": ["", {"Ref": "Names"}]}]}]},
                "Here": {"Fn::Equals": [{"Ref": "AWS::Region"}, "us-east-1"]},
            },
            "Resources": {"T": {"Type": "AWS::SNS::Topic"}},
            "Outputs": {
                "Named": {"Value": {"Fn::If": ["Named", "yes", "no"]}},
                "Here": {"Value": {"Fn::If": ["Here", "yes", "no"]}},
            },
        }
    )
    stack.create(template)
    assert (stack.output("Named"), stack.output("Here")) == ("no", "yes")


def test_a_bucket_gets_its_encryption_lifecycle_logs_and_tags(server: Server, stack: Stack) -> None:
    sse = {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "k"}}
    properties = {
        "BucketName": "cfn-bucket",
        "BucketEncryption": {"ServerSideEncryptionConfiguration": [sse]},
        "LifecycleConfiguration": {
            "Rules": [
                {
                    "Id": "tidy",
                    "Status": "Enabled",
                    "Prefix": "a/",
                    "ExpirationInDays": 3,
                    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
                }
            ]
        },
        "LoggingConfiguration": {"DestinationBucketName": "cfn-logs", "LogFilePrefix": "l/"},
        "Tags": [{"Key": "Owner", "Value": "me"}],
    }
    resources = {
        "L": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "cfn-logs"}},
        "B": {"Type": "AWS::S3::Bucket", "DependsOn": "L", "Properties": properties},
    }
    assert stack.create(json.dumps({"Resources": resources})) == "CREATE_COMPLETE"
    s3 = server.client("s3")
    encryption = s3.get_bucket_encryption(Bucket="cfn-bucket")["ServerSideEncryptionConfiguration"]
    assert encryption["Rules"][0]["ApplyServerSideEncryptionByDefault"]["KMSMasterKeyID"] == "k"
    rule = s3.get_bucket_lifecycle_configuration(Bucket="cfn-bucket")["Rules"][0]
    assert (rule["Expiration"]["Days"], rule["Filter"]["Prefix"]) == (3, "a/")
    logs = s3.get_bucket_logging(Bucket="cfn-bucket")["LoggingEnabled"]
    assert logs["TargetBucket"] == "cfn-logs"
    tags = {t["Key"]: t["Value"] for t in s3.get_bucket_tagging(Bucket="cfn-bucket")["TagSet"]}
    assert tags["Owner"] == "me"
    assert tags["aws:cloudformation:stack-name"] == stack.name


def test_a_bucket_with_objects_is_not_deleted(server: Server) -> None:
    stack = Stack(server, "s-full")
    template = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "cfn-full"}}
    stack.create(json.dumps({"Resources": {"B": template}}))
    s3 = server.client("s3")
    s3.put_object(Bucket="cfn-full", Key="k", Body=b"1")
    stack.cloudformation.delete_stack(StackName="s-full")
    assert stack.settled() == "DELETE_FAILED"
    s3.delete_object(Bucket="cfn-full", Key="k")
    stack.delete()
    assert stack.described()["StackStatus"] == "DELETE_COMPLETE"


def test_a_machine_that_logs_needs_a_role_that_may_and_then_does(
    server: Server, stack: Stack
) -> None:
    logs = server.client("logs")
    logs.create_log_group(logGroupName="cfn-machine")
    role = server.role("cfn-machine", "states.amazonaws.com", allow("sns:Publish"))
    arn = f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:cfn-machine:*"
    definition = {"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}}
    machine = {
        "Type": "AWS::StepFunctions::StateMachine",
        "Properties": {
            "RoleArn": role,
            "DefinitionString": json.dumps(definition),
            "LoggingConfiguration": {
                "Level": "ALL",
                "Destinations": [{"CloudWatchLogsLogGroup": {"LogGroupArn": arn}}],
            },
        },
    }
    template = {"Resources": {"M": machine}, "Outputs": {"Arn": {"Value": {"Ref": "M"}}}}
    assert stack.create(json.dumps(template)) == "ROLLBACK_COMPLETE"
    assert "not authorized to access the Log Destination" in stack.reasons("M")[0]
    stack.delete()
    server.allow("cfn-machine", allow("logs:*"))
    assert stack.create(json.dumps(template)) == "CREATE_COMPLETE"
    server.client("stepfunctions").start_execution(stateMachineArn=stack.output("Arn"))
    lines = eventually(
        lambda: logs.filter_log_events(logGroupName="cfn-machine")["events"],
        lambda events: any("ExecutionSucceeded" in event["message"] for event in events),
    )
    assert json.loads(lines[-1]["message"])["execution_arn"]


def test_a_request_that_is_sent_again_with_its_token_does_nothing_more(
    server: Server, stack: Stack
) -> None:
    template = json.dumps({"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}})
    asked = {"StackName": stack.name, "TemplateBody": template}
    assert stack.create(template, ClientRequestToken="one") == "CREATE_COMPLETE"
    again = stack.cloudformation.create_stack(**asked, ClientRequestToken="one")
    assert again["StackId"] == stack.described()["StackId"]
    with pytest.raises(ClientError, match="AlreadyExistsException"):
        stack.cloudformation.create_stack(**asked, ClientRequestToken="two")

    changed = {**asked, "TemplateBody": template.replace("Topic", "Other", 1)}
    made = [
        stack.cloudformation.create_change_set(**changed, ChangeSetName="c", ClientToken="three")
        for _ in range(2)
    ]
    assert made[0]["Id"] == made[1]["Id"]
    with pytest.raises(ClientError, match="AlreadyExistsException"):
        stack.cloudformation.create_change_set(**changed, ChangeSetName="c", ClientToken="four")
