"""Frames whose contents do not come from our functions: `data` of a `signal`, and API Gateway's own answers.

No function reads or makes them, so they are described only here.
"""

from typing import Literal, NotRequired, TypedDict


class SessionDescription(TypedDict):
    """What a device offers or answers (RTCSessionDescriptionInit, W3C WebRTC 1.0, section 4.6.2)."""

    type: Literal["offer", "answer"]
    sdp: str


class IceCandidate(TypedDict):
    """An address of a device (RTCIceCandidateInit, W3C WebRTC 1.0, section 4.8.1)."""

    candidate: str
    sdpMid: str | None
    sdpMLineIndex: int | None
    usernameFragment: NotRequired[str | None]


class SignalDescription(TypedDict):
    """An offer of the device that called, or an answer of the device that answered."""

    session: str
    offer: int
    description: SessionDescription


class SignalCandidates(TypedDict):
    """The candidates that a device has found since the last ones."""

    session: str
    candidates: list[IceCandidate]


class SignalHello(TypedDict):
    """The device that answered is ready, and has no offer yet."""

    session: str
    hello: Literal[True]


class SignalRestart(TypedDict):
    """The connection of the device that answered has failed; it wants another offer."""

    session: str
    restart: Literal[True]


SIGNALS = (SignalDescription, SignalCandidates, SignalHello, SignalRestart)
"""What the reference client sends as `data`. Your own client may send anything else."""


class GatewayError(TypedDict):
    """API Gateway's own answer to a frame that no function could answer; it has no `type`. Send the frame again."""

    message: str
    connectionId: str
    requestId: str
