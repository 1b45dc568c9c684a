"""The artifact of DeepAR, and the forecasts that it gives."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import torch

from algorithms.deepar.checks import Checks
from algorithms.deepar.configuration import Configuration
from algorithms.deepar.network import Network, Settings
from algorithms.deepar.reading import decoded, lines
from algorithms.deepar.series import Series, parse
from algorithms.deepar.windows import Windows
from algorithms.toolkit import content, deep
from algorithms.toolkit.content import ContentType
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.formats.table import FormatError

if TYPE_CHECKING:
    from algorithms.toolkit.algorithm import Request

MODEL_FILE = "deepar-model.safetensors"
FORMAT = "sagemaker-platform/deepar"
FORMAT_VERSION = 1

ENVIRONMENT = "DEEPAR_INFERENCE_CONFIG"
# Paths that are drawn at once: more are slower and take more memory.
_PATHS = 4096
_SEED = 0


def save(folder: Path, network: Network, settings: Settings, checks: Checks) -> None:
    """Write the parameters and what the network is built from, and nothing to execute."""
    tensors = {f"network.{name}": each for name, each in network.state_dict().items()}
    for number, seen in enumerate(checks.seen):
        tensors[f"seen.{number}"] = torch.from_numpy(seen)
    deep.save(folder / MODEL_FILE, FORMAT, FORMAT_VERSION, tensors, settings.stored())


def load(folder: Path) -> Forecaster:
    """The model that `train` left."""
    path = folder / MODEL_FILE
    tensors, stored = deep.load(path, FORMAT, FORMAT_VERSION, "DeepAR")
    try:
        settings = Settings.restored(stored)
        network = Network(settings)
        network.load_state_dict(
            {
                name.removeprefix("network."): each
                for name, each in tensors.items()
                if name.startswith("network.")
            }
        )
        seen = [tensors[f"seen.{number}"].numpy() for number in range(len(settings.cardinality))]
    except (TypeError, KeyError, RuntimeError, AttributeError, CustomerError) as error:
        raise CustomerError(f"{MODEL_FILE} does not fit its settings: {error}") from None
    # One worker serves on each processor, and a forked one must not wait for its parent's threads.
    torch.set_num_threads(1)
    configuration = Configuration()
    if text := os.environ.get(ENVIRONMENT):
        configuration = Configuration.parse(decoded(text.encode(), ENVIRONMENT), ENVIRONMENT)
    checks = Checks.of(settings, seen)
    return Forecaster(network.eval(), settings, checks, configuration)


def forecasts(
    network: Network, settings: Settings, series: Sequence[Series], count: int
) -> Iterator[Any]:
    """Paths that each series may take after its last point: paths x points."""
    if not series:
        return
    device = next(network.parameters()).device
    windows = Windows(series, settings, device)
    size = max(1, _PATHS // count)
    for begin in range(0, len(series), size):
        which = np.arange(begin, min(begin + size, len(series)))
        yield from network.paths(windows.cut(which, windows.lengths[which]), count).cpu().numpy()


class Forecaster:
    """A network that forecasts the series of a request."""

    accepts: tuple[str, ...] = (content.JSON, content.JSON_LINES)
    answers: tuple[str, ...] = (content.JSON, content.JSON_LINES)
    slow = True

    def __init__(
        self, network: Network, settings: Settings, checks: Checks, configuration: Configuration
    ) -> None:
        self.settings = settings
        self._network = network
        self._checks = checks
        self._configuration = configuration

    def answer_type(self, kind: ContentType, accept: str | None) -> ContentType | None:
        """Lines are answered with lines, unless a client asks for something else."""
        lines = not accept and kind.name == content.JSON_LINES
        return ContentType(kind.name) if lines else content.negotiate(accept, self.answers)

    def respond(self, request: Request) -> bytes:
        """The forecasts, as an object with predictions or one object a line."""
        configuration = self._configuration
        if request.content_type.name == content.JSON_LINES:
            series = list(lines(request.body.split(b"\n"), "", self._checks.wanted))
        else:
            series, own = self._instances(request.body)
            configuration = own or configuration
        for one in series:
            self._checks.request(one)
        answers = list(self._forecasts(series, configuration))
        if request.accept.name == content.JSON_LINES:
            return b"\n".join(map(orjson.dumps, answers)) + b"\n"
        return orjson.dumps({"predictions": answers})

    def _instances(self, body: bytes) -> tuple[list[Series], Configuration | None]:
        value = decoded(body, "body")
        instances = value.get("instances") if isinstance(value, dict) else None
        if not isinstance(instances, list):
            raise FormatError('body: must be a JSON object with an array "instances"')
        series = []
        for number, one in enumerate(instances):
            place = f"instances[{number}]"
            if not isinstance(one, dict):
                raise FormatError(f"{place}: must be a JSON object with start and target")
            series.append(parse(one, place, self._checks.wanted))
        own = value.get("configuration")
        return series, None if own is None else Configuration.parse(own, "configuration")

    def _forecasts(
        self, series: Sequence[Series], configuration: Configuration
    ) -> Iterator[dict[str, Any]]:
        # The same request gets the same answer.
        torch.manual_seed(_SEED)
        for one, paths in zip(
            series,
            forecasts(self._network, self.settings, series, configuration.num_samples),
            strict=True,
        ):
            if not np.isfinite(paths).all():
                raise CustomerError(
                    f"{one.place}: its values are beyond what the model can forecast"
                )
            yield configuration.shown(paths)
