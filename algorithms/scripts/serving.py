"""A serving script behind the model server, with the defaults of AWS's containers."""

from __future__ import annotations

import importlib
import inspect
import json
import logging
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from algorithms.catalog.frameworks import Framework
from algorithms.scripts import formats, versions
from algorithms.scripts.code import CodeError, check_requirements, fetch
from algorithms.scripts.formats import JSON, TEXTS, UnsupportedFormatError
from algorithms.toolkit import serving
from algorithms.toolkit.errors import AlgorithmError
from algorithms.toolkit.invocations import Refusal
from algorithms.toolkit.job import base_folder

_ACCEPT = "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT"
_ANY = "*/*"
# Granian's workers are processes, and each loads the model for itself.
_WORKERS = "SAGEMAKER_MODEL_SERVER_WORKERS"
_MODEL_FILES = (".pt", ".pth")

Function = Callable[..., Any]

log = logging.getLogger("algorithms")


def run(framework: Framework) -> int:
    """Load the script, then serve by it until SIGTERM; return the exit code."""
    os.environ.setdefault(_WORKERS, "1")
    return serving.serve(Script(framework.name, base_folder()), _WORKERS)


@dataclass(frozen=True)
class Script:
    """The serving script of a model, found by the variables that SageMaker's SDK sets."""

    name: str
    base: Path
    # A script may start threads while it loads its model, and a process with threads cannot fork.
    early: bool = False

    def load(self) -> Endpoint:
        """Fetch and import the script, and let it load its model.

        Raises:
            AlgorithmError: The script cannot be had, or fails.
        """
        from algorithms.scripts import framework

        found = framework(self.name)
        versions.tell(found)
        defaults = _DEFAULTS[self.name]()
        model = self.base / "model"
        try:
            code = self._code(model)
            check_requirements(code)
        except CodeError as error:
            raise AlgorithmError(str(error)) from None
        try:
            script = self._imported(code, defaults)
            return Endpoint(script, defaults, model, os.environ.get(_ACCEPT) or JSON)
        except AlgorithmError:
            raise
        except Exception as error:
            log.exception("The script cannot be loaded")
            raise AlgorithmError(f"{type(error).__name__}: {error}") from None

    def _code(self, model: Path) -> Path:
        submitted = os.environ.get("SAGEMAKER_SUBMIT_DIRECTORY", "")
        if submitted.startswith("s3://"):
            # A folder of this process alone: other instances of the variant have the same TMPDIR.
            folder = Path(tempfile.mkdtemp(prefix="code-"))
            fetch(submitted, folder, self.base)
            return folder
        from algorithms.scripts.code import inside

        return inside(submitted, self.base) if submitted else model / "code"

    def _imported(self, code: Path, defaults: Defaults) -> ModuleType | None:
        program = os.environ.get("SAGEMAKER_PROGRAM", "")
        name = (program or defaults.program).removesuffix(".py").replace("/", ".")
        sys.path.insert(0, str(code))
        if not program and not (code / defaults.program).is_file():
            return None
        if not name:
            raise AlgorithmError(
                "no script is named: set SAGEMAKER_PROGRAM in the model's Environment"
            )
        return importlib.import_module(name)


class Defaults:
    """What a container of scikit-learn does where a script has no function of its own."""

    # What is imported where no program is named.
    program = ""

    def model_fn(self, model_dir: str) -> Any:
        """No model is known without the script."""
        raise NotImplementedError(
            "Please provide a model_fn implementation. See documentation for model_fn at "
            "https://github.com/aws/sagemaker-python-sdk"
        )

    def input_fn(self, input_data: str | bytes, content_type: str) -> Any:
        """An array; of float32 where the request is text."""
        array = formats.decode(input_data, content_type)
        return array.astype("float32") if content_type in TEXTS else array

    def predict_fn(self, data: Any, model: Any) -> Any:
        """What the model predicts."""
        return model.predict(data)

    def output_fn(self, prediction: Any, accept: str) -> Any:
        """The prediction in the form that the client accepts."""
        return formats.encode(prediction, accept), accept


class XgboostDefaults(Defaults):
    """What a container of XGBoost does."""

    def input_fn(self, input_data: str | bytes, content_type: str) -> Any:
        """A DMatrix."""
        return formats.decode_matrix(input_data, content_type)

    def predict_fn(self, data: Any, model: Any) -> Any:
        """What the model predicts, whatever the names of its features."""
        return model.predict(data, validate_features=False)


class PytorchDefaults(Defaults):
    """What a container of PyTorch does."""

    program = "inference.py"

    def model_fn(self, model_dir: str) -> Any:
        """The only TorchScript model of the folder."""
        import torch

        folder = Path(model_dir)
        found = [folder / "model.pt"] if (folder / "model.pt").is_file() else []
        found = found or [path for path in folder.iterdir() if path.suffix in _MODEL_FILES]
        if len(found) != 1:
            names = sorted(path.name for path in found)
            raise ValueError(
                f"Exactly one .pth or .pt file is required for PyTorch models: {names}"
            )
        try:
            return torch.jit.load(found[0], map_location=_device())
        except RuntimeError as error:
            raise RuntimeError(
                f"Failed to load {found[0].name}. Please ensure model is saved using torchscript."
            ) from error

    def input_fn(self, input_data: str | bytes, content_type: str) -> Any:
        """A tensor; of float where the request is text."""
        import torch

        array = formats.decode(input_data, content_type)
        if content_type in TEXTS:
            return torch.from_numpy(array.astype("float32")).to(_device())
        return torch.from_numpy(array).to(_device())

    def predict_fn(self, data: Any, model: Any) -> Any:
        """What the model gives in evaluation, without gradients."""
        import torch

        with torch.no_grad():
            model = model.to(_device())
            model.eval()
            return model(data.to(_device()))

    def output_fn(self, prediction: Any, accept: str) -> Any:
        """The prediction in the first form that the client accepts."""
        import torch

        if isinstance(prediction, torch.Tensor):
            prediction = prediction.detach().cpu().numpy().tolist()
        for kind in accept.replace(" ", "").split(","):
            try:
                return formats.encode(prediction, kind), kind
            except UnsupportedFormatError:
                continue
        raise UnsupportedFormatError(accept)


_DEFAULTS: dict[str, type[Defaults]] = {
    "scikit-learn": Defaults,
    "xgboost": XgboostDefaults,
    "pytorch": PytorchDefaults,
}


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


class Endpoint:
    """A loaded model with the functions that answer by it."""

    def __init__(
        self, script: ModuleType | None, defaults: Defaults, model_dir: Path, accept: str
    ) -> None:
        own = {
            name: function
            for name in ("model_fn", "input_fn", "predict_fn", "output_fn", "transform_fn")
            if (function := getattr(script, name, None))
        }
        if "transform_fn" in own and own.keys() & {"input_fn", "predict_fn", "output_fn"}:
            raise AlgorithmError(
                "Cannot use transform_fn implementation with input_fn, predict_fn, and/or output_fn"
            )
        self._context = SimpleNamespace(
            system_properties={"model_dir": str(model_dir), "gpu_id": None}
        )
        self._functions: dict[str, Function] = {
            **{name: getattr(defaults, name) for name in _FUNCTIONS},
            **own,
        }
        self._accept = accept
        self._model = self._call("model_fn", str(model_dir))

    def invoke(
        self, body: bytes, content_type: str | None, accept: str | None
    ) -> tuple[int, str, bytes]:
        """The status, content type and body that answer an invocation.

        Raises:
            Refusal: Neither the script nor the defaults take the content type, or the script fails.
        """
        kind = content_type or JSON
        wanted = self._accept if not accept or accept == _ANY else accept
        try:
            data = body.decode() if kind in TEXTS else body
            result = self._result(data, kind, wanted)
        except Refusal:
            raise
        except Exception as error:
            log.exception("The script cannot answer")
            # Libraries in C++ add a stack with places of this machine; the log has it.
            first = next(iter(str(error).strip().splitlines()), "")
            raise Refusal(500, f"{type(error).__name__}: {first}") from None
        if isinstance(result, tuple):
            result, wanted = result[0], str(result[1])
        return 200, wanted, _sent(result)

    def _result(self, data: str | bytes, kind: str, accept: str) -> Any:
        if "transform_fn" in self._functions:
            return self._call("transform_fn", self._model, data, kind, accept)
        try:
            read = self._call("input_fn", data, kind)
        except UnsupportedFormatError as error:
            raise Refusal(415, _told(error)) from None
        prediction = self._call("predict_fn", read, self._model)
        try:
            return self._call("output_fn", prediction, accept)
        except UnsupportedFormatError as error:
            raise Refusal(406, _told(error)) from None

    def _call(self, name: str, *arguments: Any) -> Any:
        """Call a function, with the context where it takes one more argument than it has to."""
        function = self._functions[name]
        takes = len(inspect.signature(function).parameters)
        if takes == len(arguments) + 1:
            return function(*arguments, self._context)
        if takes != len(arguments):
            raise TypeError(f"{name} takes {takes} arguments but {len(arguments)} were given.")
        return function(*arguments)


_FUNCTIONS = ("model_fn", "input_fn", "predict_fn", "output_fn")


def _told(error: UnsupportedFormatError) -> str:
    return json.dumps({"error": type(error).__name__, "error-message": str(error)})


def _sent(result: Any) -> bytes:
    if isinstance(result, str):
        return result.encode()
    if isinstance(result, bytes | bytearray | memoryview):
        return bytes(result)
    raise Refusal(
        500,
        f"The script answers with {type(result).__name__}: give text or bytes, or either with its "
        "content type",
    )
