"""The benchmark's model under multi-model-server, by what sagemaker-inference asks of a script.

Its functions' names are the toolkit's, and it looks for this file's name.
"""

import json
from collections.abc import Callable

from predicting import predictor

_Predict = Callable[[bytes], list[float]]


def model_fn(model_dir: str) -> _Predict:
    """Read the model, once a worker."""
    del model_dir  # the one that all peers are told of
    return predictor()


def transform_fn(predict: _Predict, body: bytes | str, content_type: str, accept: str) -> str:
    """Answer rows of text, which the toolkit has decoded, or an image, with a list."""
    del content_type, accept
    return json.dumps(predict(body.encode() if isinstance(body, str) else body))
