"""The benchmark's model under MLServer, in the protocol that its workers take."""

from mlserver import MLModel
from mlserver.codecs import StringCodec
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput
from predicting import predictor


class Predictions(MLModel):
    """Answers rows of text with a list."""

    async def load(self) -> bool:
        """Read the model."""
        self._predict = predictor()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """One answer for each line of the one text that is asked about."""
        (text,) = StringCodec.decode_input(payload.inputs[0])
        found = self._predict(text)
        output = ResponseOutput(name="predictions", shape=[len(found)], datatype="FP32", data=found)
        return InferenceResponse(model_name=self.name, outputs=[output])
