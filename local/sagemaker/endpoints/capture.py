"""Data capture: requests and answers of an endpoint, as JSON Lines in S3."""

import base64
import json
import random
import threading
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from local.sagemaker import s3
from local.sagemaker.roles import CallFailed

_EVENT_VERSION = "0"


class Capture:
    """Gathers the records of one variant and stores them as the model's role."""

    def __init__(
        self,
        config: Mapping[str, Any],
        *,
        endpoint: str,
        variant: str,
        storage: s3.Storage,
        folder: Path,
        interval: float,
        on_failure: Callable[[str], None],
    ) -> None:
        self._config = config
        self._bucket, prefix = s3.parse(config["DestinationS3Uri"].rstrip("/"))
        self._prefix = "/".join(filter(None, (prefix, endpoint, variant)))
        self._storage = storage
        self._folder = folder
        self._interval = interval
        self._on_failure = on_failure
        self._modes = {option["CaptureMode"] for option in config["CaptureOptions"]}
        headers = config.get("CaptureContentTypeHeader", {})
        self._csv = {"text/csv", *headers.get("CsvContentTypes", [])}
        self._json = {"application/json", *headers.get("JsonContentTypes", [])}
        self._records: list[str] = []
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def add(
        self,
        request: tuple[str, bytes],
        answer: tuple[str, bytes],
        *,
        custom: str = "",
        inference_id: str = "",
    ) -> None:
        """Keep an exchange, given as content type and body, if it is in the sample."""
        if random.random() * 100 >= self._config["InitialSamplingPercentage"]:  # noqa: S311 (a sample)
            return
        data: dict[str, Any] = {}
        for mode, name, (content_type, body) in (
            ("Input", "endpointInput", request),
            ("Output", "endpointOutput", answer),
        ):
            if mode in self._modes or "InputAndOutput" in self._modes:
                data[name] = self._observed(mode.upper(), content_type, body)
        metadata = {
            "eventId": str(uuid.uuid4()),
            "inferenceTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        if custom:
            metadata["customAttributes"] = custom
        if inference_id:
            metadata["inferenceId"] = inference_id
        record = {"captureData": data, "eventMetadata": metadata, "eventVersion": _EVENT_VERSION}
        with self._lock:
            self._records.append(json.dumps(record, separators=(",", ":")))
            if self._timer is None:
                self._timer = threading.Timer(self._interval, self.flush)
                self._timer.daemon = True
                self._timer.start()

    def flush(self) -> None:
        """Store what has gathered as one object."""
        with self._lock:
            records, self._records = self._records, []
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        if not records:
            return
        now = datetime.now(UTC)
        name = f"{now:%M-%S}-{now.microsecond // 1000:03d}-{uuid.uuid4()}.jsonl"
        path = self._folder / name
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(records) + "\n")
            self._storage.upload(
                path,
                self._bucket,
                f"{self._prefix}/{now:%Y/%m/%d/%H}/{name}",
                self._config.get("KmsKeyId", ""),
            )
        except (CallFailed, OSError) as error:
            # As on AWS, a capture that cannot be stored takes no answer from anybody.
            self._on_failure(f"Data capture of {len(records)} records was lost: {error}")
        finally:
            path.unlink(missing_ok=True)

    def _observed(self, mode: str, content_type: str, body: bytes) -> dict[str, str]:
        kind = content_type.partition(";")[0].strip().lower()
        encoding = "CSV" if kind in self._csv else "JSON" if kind in self._json else "BASE64"
        if encoding == "BASE64":
            data = base64.b64encode(body).decode()
        else:
            data = body.decode("utf-8", "replace")
        return {
            "observedContentType": content_type,
            "mode": mode,
            "data": data,
            "encoding": encoding,
        }
