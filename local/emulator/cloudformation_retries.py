"""A request to CloudFormation that is sent again, with the token of the first, does nothing more.

A client whose connection broke asks again. ministack takes that for a second request, and refuses
it: the stack is there already. AWS gives the first one's answer
(https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateStack.html).
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

_KEPT = 256
# The members that name a request, in one operation or another.
_TOKENS = ("ClientRequestToken", "ClientToken")
_NAMES = ("StackName", "ChangeSetName")

Params = Mapping[str, Sequence[str]]


class Retries:
    """The last answers to requests that had a token."""

    def __init__(self) -> None:
        self._answers: OrderedDict[tuple[str, ...], Any] = OrderedDict()

    def answer(self, action: str, signer: str, params: Params) -> Any:
        """What the same request was answered before; None when it is new or has no token."""
        return self._answers.get(self._key(action, signer, params))

    def keep(self, action: str, signer: str, params: Params, answer: Any) -> None:
        """Remember what a request was answered, when it has a token."""
        key = self._key(action, signer, params)
        if not any(key[-len(_TOKENS) :]):
            return
        self._answers[key] = answer
        if len(self._answers) > _KEPT:
            self._answers.popitem(last=False)

    def _key(self, action: str, signer: str, params: Params) -> tuple[str, ...]:
        members = ((params.get(name) or [""])[0] for name in (*_NAMES, *_TOKENS))
        return action, signer, *members
