"""Everything that reaches into ministack or moto: what, and why.

ministack is pinned exactly; each module here holds one kind of touch, and a test in
`tests/contract/emulator` fails when an upgrade moves what it touches.

environment
    Variables that ministack reads while it is imported: AUTH, BIND_HOST, GATEWAY_PORT,
    STATE_DIR, TMPDIR and others. Its listeners of other protocols stay off, containers are
    never used.
running
    `ministack.app.app` behind an ASGI front with this project's own paths (/_smp/ready,
    /_smp/calls, /_smp/quotas, /_smp/accounts, /_smp/faults, /_smp/notebook-credentials);
    `core.lambda_runtime.reset` ends the workers.
services, sagemaker, service_quotas
    `app.SERVICE_HANDLERS`, `core.router.SERVICE_PATTERNS` and `detect_service` in both modules:
    sagemaker and runtime.sagemaker sign with one credential scope, which servicequotas does not.
    `core.iam_evaluator.enforce` is called with the permissions that the service names, among them
    iam:PassRole.
gate, hosts, routes, authentication, payloads, refusals
    Stand before `ministack.app.app`: Host and Origin, the table of what is answered without a
    signature, the whole signature, the body. `core.router.detect_service`,
    `iam_actions.SERVICE_TO_IAM_NAMESPACE`, `_SERVICE_PROTOCOL`, `_QUERY_XML_NS` and
    `_CBOR_CAPABLE` tell a service and its form; `sigv4.decode_header_value` and
    `_remove_dot_segments` read heads as ministack does; `iam_evaluator.resolve_credential`,
    `find_iam_access_key_account` and `responses._account_from_sts_session` know the keys;
    `_sigv2_check` and `SignedRequest` check links of Version 2.
policies, evaluator
    `core.iam_evaluator.parse_policy_document`, `validate_policy_document`, `evaluate`,
    `evaluate_resource_policy`, `combine_resource_policy`, `evaluate_trust_policy`, `_first_match`,
    `_resource_policy`, `_names_condition_key` and `_POLICY_REQUIRED`: policies are decided by
    `policies`, a package of pure functions, and trust policies are policies of their roles.
request_context
    `core.iam_evaluator._resolve_condition_key` and `pin_request_caller`: context keys as AWS
    defines them, tags of resources and objects when a condition asks for them.
authorized_operation
    `iam_actions.extract_iam_action`, `extract_resource_arn`, `_s3_action`,
    `s3_additional_checks`, `_load_botocore_model`, `_BOTOCORE_SERVICE_MAP` and
    `SERVICE_TO_IAM_NAMESPACE`: a request is evaluated as the operation that will be served, on
    the resource as it is stored.
request_checks, passed_roles, request_members
    `app.SERVICE_HANDLERS`, all of them, and `app._routing_params`: iam:PassRole of whoever hands
    a role to a service, malformed policies of resources, and parameters that contradict.
stored_policies
    `iam._trust_policy_not_principal_error`, the functions of iam that store policies and
    `iam._IAM_HANDLERS`: form and size of policies.
managed_policies
    `iam._aws_managed_policies`, `_seed_aws_managed_policies`, `attach_managed_policy` and
    `_IAM_HANDLERS`, and moto's `iam/aws_managed_policies.py` as data: the policies that AWS
    publishes, and no others.
signatures
    `app.pin_signed_request`, `_handle_pre_body_request`, `_handle_post_body_shortcuts` and
    `_handle_special_data_plane_request`, `_decompress_request_body`, `core.router.detect_service`,
    and `core.iam_evaluator.enforce`: a request is of the caller that the gate found and goes to the
    service that it is signed for, and paths that ministack serves to everybody are shut.
root
    `core.iam_evaluator.is_root_access_key` and `resolve_credential`: root is one random key.
    `core.lambda_runtime.execution_credentials`: those of functions cannot be derived.
accounts
    `core.iam_evaluator.enforce`, `_resource_policy` and `resolve_caller_identity`: accounts are
    kept apart. `iam._users`, `_access_keys`, `_create_user`, `_create_access_key`,
    `_delete_access_key` and `_put_user_policy` make an account's administrator.
identity
    `core.iam_evaluator.enforce` is recorded; `_resolve_condition_key` lets loopback count as a
    secure transport. `sts.register_session` keeps the sessions of roles that services assume.
simulation
    `iam._IAM_HANDLERS`: SimulatePrincipalPolicy and SimulateCustomPolicy answer by `evaluate`,
    `combine_resource_policy` and `_first_match`; `_resolve_condition_key` sees their context.
condition_keys
    `iam_actions.request_tag_context` and `s3_service_context`: keys of single services, such as
    the namespace of PutMetricData, and source and detail type of PutEvents.
encryption
    `iam_actions.s3_additional_checks`, `iam_evaluator.enforce`,
    `iam_actions.access_denied_response` and `s3._resolve_sse_write_headers`: S3, SNS and
    DynamoDB use a customer managed key with the caller's permissions, and an object that is put
    with aws:kms alone takes the bucket's key.
registry, registry_tokens, registry_blobs
    `app._is_ecr_registry_path` and `ecr._parse_v2_path`, `_v2_put_manifest`, `_v2_get_manifest`,
    `_v2_list_tags`, `_repositories`: manifests and tags are kept by ministack, layers on the disk,
    and each request needs the permissions that ECR asks for. `app.SERVICE_HANDLERS`: tokens name
    their owner, and repositories are named by where Docker reaches them.
serialization, api_models, wire_shapes
    `app._dispatch_service_request` behind a guard: bodies that no service can take are refused by
    AWS's own description of the operation, and a handler's failure is told by a reference.
    `app.detect_service` and `_routing_params` are called by it.
bucket_regions
    `s3._location_constraint_error`, with `_constraint_region` and `_error`: buckets of one region.
object_limits
    `s3.handle_request`, with `_parse_bucket_key`, `_bucket_owner_account` and `_error`: S3's limits
    of keys and metadata, owners that a request expects, and canned ACLs that buckets ignore.
connections
    hypercorn's `asyncio.run.TCPServer` and `H11Protocol._check_protocol`: connections are bounded
    in number and time, and are of HTTP/1.1 or WebSockets.
function_packages
    `lambda_svc._reject_unreadable_zip` and `_unzipped_size`: a zip is read to its end.
functions
    `core.lambda_runtime._detect_runtime_binary`, `_PYTHON_WORKER_SCRIPT`, `Worker.invoke`,
    `Worker._spawn` and its `subprocess`: functions see the standard library, boto3 and their own
    package, and an exception keeps its type, for Retry and Catch, as does a death without an
    answer. `_workers` tells which function a connection comes from, for the fault that kills it.
    `lambda_svc._emit_lambda_logs` asks the function's role. `lambda_svc.reap_idle_workers` ends a
    function's last idle worker, too.
function_output
    `Worker._drain_stderr_bounded`, `_drain_stderr` and `invoke`, and a line of
    `_PYTHON_WORKER_SCRIPT`: all that a call prints is in its own log.
confined
    `subprocess` of `lambda_runtime`, `lambda_svc`, `glue` and `node_pool`: what runs a caller's
    code is started confined, and with none of this process's own keys.
unpacked
    `zipfile` of `lambda_runtime`: where workers are kept from changing their code, a package is
    unpacked once, and linked into the folder of each.
forking, function_parent
    The `subprocess` that workers are started with: on Linux they are forked from one process that
    has boto3 already, unless a function ships modules of that process itself.
descriptions
    botocore's `JSONFileLoader.load_file`, for the memory of this process.
log_events
    `cloudwatch_logs._filter_log_events`, `_describe_log_streams`, `_describe_log_groups`,
    `_get_log_events`, `_resolve_log_group_name` and `_log_groups`: a search is kept to the streams
    that its prefix names, and parameters that exclude one another are refused.
step_functions
    `stepfunctions._execute_task`, `_invoke_resource`, `_invoke_with_callback`, `_call_lambda`
    and `_AWS_SDK_SERVICE_MAP`: tasks are evaluated under the machine's role, and a function
    that fails before it used its token fails the task in place of letting it wait.
state_machine_logs
    `stepfunctions._add_event` and `_create_state_machine`, and the CloudFormation type:
    histories go to the log group, once the role may set up the delivery.
events
    `eventbridge._invoke_target`: a target's own policy, or the target's role, must let it in.
    `_put_events(..., allow_aws_source=True)` in aws.py sends SageMaker's events.
cloudformation, cloudformation_permissions
    `cloudformation._ACTION_HANDLERS` and `app.SERVICE_HANDLERS`: the RoleARN of a stack is
    kept, and must be passable. `provisioners._provision_resource`, `_update_resource` and
    `_delete_resource`: each resource is evaluated under that role, or under the caller's
    policies without one. `stacks._runs_on_worker_thread`: SageMaker's types call back over HTTP
    and wait. `stacks._sends_back_failed_update`: an endpoint's failed update is sent back.
cloudformation_retries
    `cloudformation._ACTION_HANDLERS`: a request that is sent again with the token of the first
    gets the first one's answer.
cloudformation_sagemaker, cloudformation_scaling
    `provisioners._RESOURCE_HANDLERS`, `_REPLACING_PROPERTIES` and `_STACK_TAG_PROPERTY`: the
    types of SageMaker and of Application Auto Scaling.
cloudformation_notebooks
    The same three for notebook instances, their scripts and their repositories;
    `_CUSTOM_NAME_REPLACEMENT`, and `_replace_resource` for a repository of another URL.
cloudformation_gaps
    `provisioners._S3_BUCKET_CONFIGURATIONS`: encryption, lifecycle, access logs, ownership and
    tags of buckets; a property that would be ignored is refused, and so is deleting a bucket
    with objects.
cloudformation_network
    `provisioners._RESOURCE_HANDLERS`, `_REPLACING_PROPERTIES` and `_STACK_TAG_PROPERTY`, and the
    stores of `ec2`: flow logs, and the addresses of a VPC as an attribute.
cloudformation_identity
    `provisioners._RESOURCE_HANDLERS`: roles keep their permissions boundary.
custom_resources
    `lambda_svc._execute_function_with_config_scope` and `cloudformation.custom_resource`: a
    function that failed answers with its error, in place of an hour's silence.
cloudformation_events
    `stacks._add_event`: what becomes of a resource is an event on the default bus.
cloudformation_conditions
    `_evaluate_conditions` of four modules: functions and pseudo parameters inside of
    conditions.
autoscaling
    `iam_actions.SERVICE_TO_IAM_NAMESPACE`, and moto's backend of Application Auto Scaling in
    process, which is imported without `moto.ecs`. `iam_actions.extract_resource_arn` and
    `request_tag_context`: its calls are evaluated on their scalable target (scaling_targets).
aws
    What the SageMaker service sees of all this: clients and decisions in the name of a role.
"""
