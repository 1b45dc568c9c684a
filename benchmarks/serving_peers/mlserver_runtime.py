"""The benchmark's model under MLServer, in the protocol that its workers take."""

from mlserver import MLModel
from mlserver.codecs import Base64Codec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput
from predicting import predictor


class Predictions(MLModel):
    """Answers rows of text, or an image, with a list."""

    async def load(self) -> bool:
        """Read the model."""
        self._predict = predictor()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """One answer for each line of the one text, or class of the image, that is asked about."""
        (asked,) = payload.inputs
        if asked.parameters and asked.parameters.content_type == Base64Codec.ContentType:
            (body,) = Base64Codec.decode_input(asked)
        else:
            body = StringCodec.decode_input(asked)[0].encode()
        found = self._predict(body)
        output = ResponseOutput(name="predictions", shape=[len(found)], datatype="FP32", data=found)
        return InferenceResponse(model_name=self.name, outputs=[output])
