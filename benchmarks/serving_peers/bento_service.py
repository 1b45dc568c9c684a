"""The benchmark's model under BentoML."""

from pathlib import Path
from typing import Annotated

import bentoml
from bentoml.validators import ContentType
from predicting import predictor


@bentoml.service(workers=2)
class Predictions:
    """Answers rows of text, or an image, with a list."""

    def __init__(self) -> None:
        self._predict = predictor()

    @bentoml.api(route="/invocations")
    def invocations(self, text: str, /) -> list[float]:
        """One answer for each line."""
        return self._predict(text.encode())

    @bentoml.api(route="/image")
    def image(self, file: Annotated[Path, ContentType("image/jpeg")], /) -> list[float]:
        """The probability of each class."""
        return self._predict(file.read_bytes())
