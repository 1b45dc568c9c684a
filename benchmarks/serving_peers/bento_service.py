"""The benchmark's model under BentoML."""

import bentoml
from predicting import predictor


@bentoml.service(workers=2)
class Predictions:
    """Answers rows of text with a list."""

    def __init__(self) -> None:
        self._predict = predictor()

    @bentoml.api(route="/invocations")
    def invocations(self, text: str, /) -> list[float]:
        """One answer for each line."""
        return self._predict(text)
