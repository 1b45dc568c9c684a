"""The CloudWatch metrics of endpoints, in namespace AWS/SageMaker."""

import logging
import threading
from typing import Any

from local.sagemaker.ports import Aws

NAMESPACE = "AWS/SageMaker"

_log = logging.getLogger(__name__)
_Key = tuple[str, str, str]


class Measures:
    """Gathers what invocations tell, and publishes it now and then."""

    def __init__(self, aws: Aws, interval: float) -> None:
        self._aws = aws
        self._interval = interval
        self._gathered: dict[_Key, list[float]] = {}
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._closed = False

    def invoked(
        self, endpoint: str, variant: str, *, status: int, model: float, overhead: float, size: int
    ) -> None:
        """Count an invocation: the model's status (0: none), times in seconds, instances."""
        values = {
            "Invocations": 1.0,
            "Invocation4XXErrors": float(400 <= status < 500),
            "Invocation5XXErrors": float(status >= 500 or status == 0),
            "InvocationModelErrors": float(not 200 <= status < 300),
            "InvocationsPerInstance": 1.0 / max(size, 1),
            "ModelLatency": model * 1e6,
            "OverheadLatency": overhead * 1e6,
        }
        with self._lock:
            for name, value in values.items():
                found = self._gathered.setdefault(
                    (endpoint, variant, name), [0.0, 0.0, value, value]
                )
                found[0] += 1
                found[1] += value
                found[2] = min(found[2], value)
                found[3] = max(found[3], value)
            if self._timer is None and not self._closed:
                self._timer = threading.Timer(self._interval, self.flush)
                self._timer.daemon = True
                self._timer.start()

    def flush(self) -> None:
        """Publish what has gathered."""
        with self._lock:
            gathered, self._gathered = self._gathered, {}
            self._timer = None
        data: list[dict[str, Any]] = [
            {
                "MetricName": name,
                "Dimensions": [
                    {"Name": "EndpointName", "Value": endpoint},
                    {"Name": "VariantName", "Value": variant},
                ],
                "Unit": "Microseconds" if name.endswith("Latency") else "None",
                "StatisticValues": {
                    "SampleCount": count,
                    "Sum": total,
                    "Minimum": low,
                    "Maximum": high,
                },
            }
            for (endpoint, variant, name), (count, total, low, high) in gathered.items()
        ]
        if not data:
            return
        try:
            self._aws.put_metrics(NAMESPACE, data)
        except Exception:
            # Metrics are best effort: an endpoint serves without them.
            _log.exception("endpoint metrics were not published")

    def close(self) -> None:
        """Publish what is left and gather no more."""
        with self._lock:
            self._closed = True
            if self._timer is not None:
                self._timer.cancel()
        self.flush()
