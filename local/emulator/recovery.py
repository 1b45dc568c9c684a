"""After a restart: what ran when the server died is ended truthfully, or goes on."""

import asyncio
import functools
import sys
import threading
from typing import Any

from local.emulator import cloudformation_recovery, identity

CAUSE = "The local platform was stopped while the execution ran."


def resume() -> None:
    """Take up what the state says was running; call it once, on the loop that serves."""
    ran = [one for one in _executions() if one.get("status") == "RUNNING"]
    if ran:
        threading.Thread(target=_end_executions, args=(ran,), daemon=True).start()
    _end_replays()
    _begin_polling()
    for going_on in cloudformation_recovery.left_over():
        identity.in_own_context(functools.partial(asyncio.ensure_future, going_on))


def _loaded(name: str) -> Any:
    """A service's module, when its state was restored; None has nothing to mend."""
    return sys.modules.get(f"ministack.services.{name}")


def _executions() -> list[dict[str, Any]]:
    module = _loaded("stepfunctions")
    return module._executions.all_values() if module else []


def _end_executions(ran: list[dict[str, Any]]) -> None:
    """Fail executions whose threads are gone, with an event and a last line of the history.

    On AWS an execution outlives any machine; here what it had in hand is lost with the process.
    """
    module = _loaded("stepfunctions")
    for execution in ran:
        identity.in_own_context(
            functools.partial(module._fail_execution, execution, "States.Runtime", CAUSE)
        )


def _end_replays() -> None:
    module = _loaded("eventbridge")
    for replay in module._replays.all_values() if module else ():
        if replay.get("State") in ("STARTING", "RUNNING"):
            replay["State"] = "FAILED"
            replay["ReplayEndTime"] = module._now_ts()


def _begin_polling() -> None:
    """Let functions be fed from queues and streams again."""
    module = _loaded("lambda_svc")
    if module and module._esms.has_any():
        module._ensure_poller()
    computing = _loaded("ec2")
    if computing and not computing._default_initialized_scopes:
        computing._infer_default_initialized_scopes_from_restored_stores()
