"""Serves the emulator in this process and takes it down cleanly."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sqlite3
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

from local.containers.relay import addresses as relay_addresses
from local.emulator import (
    accounts,
    autoscaling,
    cloudformation_recovery,
    connections,
    identity,
    objects,
    recovery,
    sagemaker,
)
from local.emulator.calls import CALLS
from local.emulator.durable import durable
from local.emulator.environment import ACCOUNT, HOST, Settings
from local.emulator.gate import CALLER, CONTROL_SERVICE, gate
from local.emulator.hosts import Hosts
from local.emulator.registry import ContainerRegistry
from local.emulator.registry_tokens import Tokens
from local.emulator.state_file import NotWritten, StateRefused
from local.emulator.state_keeper import Keeper
from local.handover import BACKLOG, listen, proof
from local.sagemaker.errors import ServiceError, disk_refusal
from local.sagemaker.notebooks.boot import CREDENTIALS_PATH as NOTEBOOK_CREDENTIALS

# The exit code of a server that finds a state which it cannot take up.
STATE_REFUSED = 4
_GRACE_SECONDS = 8.0
# The SDKs ask again when a quarter of this is left.
_CREDENTIALS_LAST = timedelta(hours=1)
_logger = logging.getLogger("smp")


def install(service: Any, settings: Settings, tokens: Tokens) -> None:
    """Put every touch of this folder in place, once a process."""
    from local.emulator import (
        accounts,
        authorized_operation,
        bucket_regions,
        cloudformation,
        condition_keys,
        descriptions,
        encryption,
        evaluator,
        events,
        function_packages,
        functions,
        log_events,
        managed_policies,
        object_limits,
        registry_tokens,
        request_checks,
        request_context,
        root,
        serialization,
        service_quotas,
        signatures,
        simulation,
        step_functions,
        stored_policies,
    )

    descriptions.install()
    log_events.install()
    root.install()
    # Before all that adds to what is decided.
    evaluator.install()
    request_context.install()
    managed_policies.install()
    stored_policies.install()
    authorized_operation.install()
    # Before identity, which records what is decided here.
    signatures.install()
    accounts.install()
    identity.install()
    # Behind identity: what a simulation is told of a request comes before what this one has.
    simulation.install()
    condition_keys.install()
    encryption.install()
    sagemaker.mount(service)
    service_quotas.mount(service.service_quotas)
    registry_tokens.install(settings, tokens)
    functions.install(settings)
    function_packages.install()
    step_functions.install(service)
    events.install()
    cloudformation.install(service)
    object_limits.install()
    bucket_regions.install()
    # Around every handler that stands now.
    request_checks.install()
    serialization.install()


def serve(settings: Settings, build: Callable[[Settings], Any] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; `build` gives another SageMaker service, for a test."""
    try:
        keeper = Keeper(settings.state / "emulator")
        service = (build or _sagemaker)(settings)
        tokens = Tokens(settings.state / "registry")
        install(service, settings, tokens)
        objects.install(keeper)
        cloudformation_recovery.install(keeper)
        autoscaling.keep(keeper)
        keeper.restore()
    except StateRefused as error:
        sys.stderr.write(f"{error}\n")
        return STATE_REFUSED
    except (OSError, sqlite3.Error) as error:
        if not (remedy := disk_refusal(error)):
            raise
        sys.stderr.write(f"{settings.state}: {remedy}\n")
        return STATE_REFUSED
    logging.getLogger().handlers[:] = [_to_stdout()]
    logging.getLogger().setLevel(settings.log_level)
    # Already here: what comes back with the state calls this port, and waits until it is served.
    listener = connections.counted(settings.listener or listen(HOST, settings.port))
    service.start()
    try:
        registry = ContainerRegistry(settings, tokens)
        asyncio.run(_serve(service, settings, keeper, registry, listener))
    finally:
        _take_down(service)
    # Threads of executions may still sleep in a Wait state; nothing of theirs is to be kept.
    sys.stdout.flush()
    os._exit(0)


def _sagemaker(settings: Settings) -> Any:
    from local.containers.engine import Engine
    from local.emulator.aws import EmulatorAws
    from local.sagemaker.containers import Containers
    from local.sagemaker.service import SageMakerService

    aws = EmulatorAws(settings.endpoint_url)
    engine = Engine(settings.docker, settings.state)
    return SageMakerService(
        aws,
        settings.state / "sagemaker",
        containers=Containers(aws, engine, settings.port),
    )


def _to_stdout() -> logging.Handler:
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    return handler


async def _serve(
    service: Any,
    settings: Settings,
    keeper: Keeper,
    registry: ContainerRegistry,
    listener: socket.socket,
) -> None:
    from hypercorn.asyncio import serve as hypercorn_serve

    config = connections.ListeningConfig(listener)
    config.backlog = BACKLOG
    config.keep_alive_timeout = 75
    config.graceful_timeout = 1
    config.shutdown_timeout = 2
    config.loglevel = settings.log_level
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    async def stopped() -> None:
        await stop.wait()
        _watchdog()
        # While requests are still answered: logs, metrics and captures of what ends here are
        # written through this very port.
        with contextlib.suppress(Exception):
            await asyncio.to_thread(service.close)

    await _make_administrator(settings, keeper)
    keeping = asyncio.create_task(keeper.keep())
    recovery.resume()
    hosts = Hosts(settings.port, relay_addresses)
    served = gate(
        durable(front(service, keeper, settings), keeper), hosts, durable(registry, keeper)
    )
    try:
        await hypercorn_serve(connections.bounded(served), config, shutdown_trigger=stopped)
    finally:
        keeping.cancel()
        with contextlib.suppress(NotWritten):
            await keeper.settle()


async def _make_administrator(settings: Settings, keeper: Keeper) -> None:
    """Let the account have its administrator, whose key is on disk before anybody can call."""
    known = accounts.read(settings.credentials)
    key = accounts.administrator(ACCOUNT, known)
    if key != known:
        await keeper.settle()
        accounts.write(settings.credentials, key)


def _watchdog() -> None:
    """End the process even when something in it hangs."""
    timer = threading.Timer(_GRACE_SECONDS, lambda: os._exit(1))
    timer.daemon = True
    timer.start()


def _take_down(service: Any) -> None:
    """End every process that this one started."""
    with contextlib.suppress(Exception):
        # Once more, for a server that never got as far as waiting for its signal.
        service.close()
    runtime = sys.modules.get("ministack.core.lambda_runtime")
    if runtime is not None:
        with contextlib.suppress(Exception):
            runtime.reset()


def front(service: Any, keeper: Keeper, settings: Settings) -> Callable[..., Any]:
    """The ASGI application: this project's own paths, and ministack for all others."""
    from ministack.app import app

    async def application(scope: Any, receive: Any, send: Any) -> None:
        caller = CALLER.get()
        named = caller and caller.service != CONTROL_SERVICE
        if scope["type"] != "http" or named or not scope["path"].startswith("/_smp/"):
            sagemaker.CALLER_PORT.set((scope.get("client") or ("", 0))[1])
            await app(scope, receive, send)
            return
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        if (scope["method"], scope["path"]) == ("GET", NOTEBOOK_CREDENTIALS):
            status, document = _credentials(service, scope)
        else:
            status, document = _own(service, keeper, settings, scope, body)
        await send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [(b"content-type", b"application/json")],
            }
        )
        await send({"type": "http.response.body", "body": json.dumps(document).encode()})

    return application


def _credentials(service: Any, scope: Any) -> tuple[int, Any]:
    """What the SDKs in a notebook instance ask for, as a container's SDKs ask on AWS.

    Who knows the instance's own token gets the credentials of its role, and nobody else.
    """
    headers = {name.lower(): value for name, value in scope["headers"]}
    try:
        found = service.notebooks.credentials(headers.get(b"authorization", b"").decode("latin-1"))
    except Exception as error:
        return 403, {"code": "AccessDenied", "message": str(error)}
    if found is None:
        return 401, {"code": "Unauthorized", "message": "No notebook instance has this token."}
    ends = datetime.now(UTC) + _CREDENTIALS_LAST
    return 200, {
        "AccessKeyId": found.access_key,
        "SecretAccessKey": found.secret_key,
        "Token": found.token,
        "Expiration": ends.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def _own(
    service: Any, keeper: Keeper, settings: Settings, scope: Any, body: bytes
) -> tuple[int, Any]:
    query = {k: v[0] for k, v in parse_qs(scope.get("query_string", b"").decode()).items()}
    route = scope["method"], scope["path"].removeprefix("/_smp/")
    if route == ("GET", "ready"):
        challenge = query.get("challenge", "")
        return 200, {"ready": True, "proof": proof(settings.secret, settings.port, challenge)}
    if route == ("GET", "calls"):
        return 200, CALLS.found(query.get("principal", ""), float(query.get("since", 0)))
    if route == ("GET", "quotas"):
        return 200, service.service_quotas.table()
    if route == ("POST", "quotas"):
        try:
            return 200, service.service_quotas.administer(json.loads(body or b"{}"))
        except (ValueError, TypeError, ServiceError) as error:
            return 400, {"error": str(error)}
    if route == ("GET", "state"):
        return 200, {"missed": [*keeper.missed], "failure": keeper.failure}
    if route == ("POST", "accounts"):
        return _account(body)
    if route == ("POST", "faults"):
        try:
            service.faults.configure(json.loads(body or b"{}"))
        except (ValueError, TypeError) as error:
            return 400, {"error": str(error)}
        return 200, {}
    if route == ("POST", "interrupt"):
        if not query.get("job"):
            return 400, {"error": "No job is named. Name one of spot training: interrupt?job=NAME"}
        service.faults.interrupt(query["job"])
        return 200, {}
    known = (
        "GET ready, GET calls, GET state, GET quotas, POST quotas, POST accounts, POST faults, "
        "POST interrupt"
    )
    return 404, {"error": f"Known here: {known}, all under /_smp/."}


def _account(body: bytes) -> tuple[int, Any]:
    """The administrator of a further account, with a key that is new unless the given one is it."""
    try:
        wish = json.loads(body or b"{}")
        given = wish.get("key")
        known = accounts.Key(**given) if given else None
        return 200, asdict(accounts.administrator(str(wish.get("account", "")), known))
    except (ValueError, TypeError, AttributeError) as error:
        return 400, {"error": str(error)}
