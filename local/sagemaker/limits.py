"""The times and sizes of the service: AWS's, unless a test shortens them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """All times in seconds, all sizes in bytes."""

    # A training container gets this long between SIGTERM and SIGKILL, a model server the second.
    job_stop: float = 120
    # When one host of a job has failed, the others get this long.
    peer_stop: float = 10
    server_stop: float = 30
    # How often a job is looked after, and its checkpoints are compared with those in S3.
    job_watch: float = 0.25
    checkpoint_interval: float = 1
    # When the platform itself ends, whoever stopped it waits: this long for all together.
    close: float = 3
    # A model server must answer /ping with 200 within `startup`, each time within `ping`.
    startup: float = 240
    ping: float = 2
    ping_interval: float = 5
    invocation: float = 60
    payload: int = 6_291_456
    # A server that dies is started again after `restart_delay`, then after twice that, and so on,
    # until it has died `restarts` times without having served for `restart_memory` in between.
    restart_delay: float = 0.2
    restarts: int = 5
    restart_memory: float = 60
    # How long data capture and metrics gather before they are written.
    capture_interval: float = 2
    metrics_interval: float = 5
    # AWS ends a lifecycle script after five minutes, and a presigned URL opens for as long.
    notebook_script: float = 300
    notebook_startup: float = 60
    notebook_stop: float = 5
    presigned_url: float = 300
    # One process is run for each instance of a job or a variant, so a laptop sets a limit.
    instances: int = 8
