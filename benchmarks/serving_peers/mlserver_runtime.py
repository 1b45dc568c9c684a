"""The benchmark's model under MLServer, which takes text on a route of the model's own."""

import json

from fastapi import Request, Response
from mlserver import MLModel
from mlserver.handlers import custom_handler
from predicting import predictor


class Predictions(MLModel):
    """Answers rows of text with a list."""

    async def load(self) -> bool:
        """Read the model."""
        self._predict = predictor()
        return True

    @custom_handler(rest_path="/invocations")
    async def invocations(self, request: Request) -> Response:
        """One answer for each line."""
        text = (await request.body()).decode()
        return Response(json.dumps(self._predict(text)), media_type="application/json")
