import json
import signal
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from algorithms.toolkit import training
from local.sagemaker.training.pipes import Pipe


@dataclass
class JobFolder:
    """The files of one training job, as the platform lays them out."""

    algorithm: str
    base: Path
    capture: pytest.CaptureFixture[str]
    log: str = ""
    pipes: list[Pipe] = field(default_factory=list)

    def channel(self, name: str, content_type: str | None, files: Mapping[str, bytes]) -> None:
        folder = self.base / "input" / "data" / name
        folder.mkdir(parents=True, exist_ok=True)
        for file, body in files.items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_bytes(body)
        self._configure(name, content_type, "File")

    def pipe(self, name: str, content_type: str, *bodies: bytes) -> None:
        """A channel that streams these objects in every epoch, as the local platform does."""
        folder = self.base / "input" / "data"
        folder.mkdir(parents=True, exist_ok=True)

        def content(_: int) -> Generator[bytes]:
            yield from bodies

        self.pipes.append(Pipe(folder, name, content, lambda *_: None))
        self._configure(name, content_type, "Pipe")

    def _configure(self, name: str, content_type: str | None, mode: str) -> None:
        path = self.base / "input" / "config" / "inputdataconfig.json"
        config = json.loads(path.read_text())
        config[name] = {"TrainingInputMode": mode}
        if content_type:
            config[name]["ContentType"] = content_type
        path.write_text(json.dumps(config))

    def train(self, **hyperparameters: Any) -> int:
        config = self.base / "input" / "config"
        values = {name: str(value) for name, value in hyperparameters.items()}
        (config / "hyperparameters.json").write_text(json.dumps(values))
        code = training.run(self.algorithm)
        self.log = self.capture.readouterr().out
        return code

    @property
    def failure(self) -> str:
        path = self.base / "output" / "failure"
        return path.read_text() if path.exists() else ""

    @property
    def model(self) -> Path:
        return self.base / "model"


@pytest.fixture
def new_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[[str], JobFolder]]:
    handler = signal.getsignal(signal.SIGTERM)

    def make(algorithm: str) -> JobFolder:
        base = tmp_path / f"{len(made)}-{algorithm}"
        config = base / "input" / "config"
        config.mkdir(parents=True)
        (config / "inputdataconfig.json").write_text("{}")
        (config / "resourceconfig.json").write_text(
            json.dumps({"current_host": "algo-1", "hosts": ["algo-1"]})
        )
        monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(base))
        made.append(JobFolder(algorithm, base, capsys))
        return made[-1]

    made: list[JobFolder] = []
    yield make
    for pipe in [pipe for job in made for pipe in job.pipes]:
        pipe.close()
    signal.signal(signal.SIGTERM, handler)


@cache
def digits() -> tuple[Any, Any]:
    """1,797 handwritten digits of 8 x 8 pixels in an order that mixes the writers."""
    features, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    return features[order].astype(np.float32), labels[order].astype(np.float32)


def csv(*columns: Any) -> bytes:
    """Arrays side by side as text, each number written so that it reads back the same."""
    rows = np.column_stack([np.asarray(c, dtype=np.float64) for c in columns]).tolist()
    return "\n".join(",".join(map(repr, row)) for row in rows).encode() + b"\n"
