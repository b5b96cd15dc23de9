"""Every failure a client may see, as one exception family: a sentence, a stable code, a status, a field.

`engine/wire.py` defines the shape on the wire; the classes here are the only way to make one, so a code
always comes with the same type, status and `retryable`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import ClassVar

from dreamscope.engine import wire

MAX_MESSAGE = 600
MAX_PARAM = 80


class DreamscopeError(Exception):
    """Base of all of them: `message` is a sentence for people, `param` names the field at fault.

    `code`, `type`, `status` (HTTP) and `retryable` belong to the class.
    """

    code: ClassVar[str] = "internal_error"
    type: ClassVar[str] = "server_error"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False
    retry_after: int = 1
    """Seconds after which trying again may help, if it is `retryable`."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param

    def info(self) -> wire.ErrorInfo:
        """The wire form. Sentences quote what the client sent, which may be megabytes: it is cut short."""
        message = self.message if len(self.message) <= MAX_MESSAGE else self.message[:MAX_MESSAGE] + "..."
        param = None if self.param is None else self.param[:MAX_PARAM]
        return wire.ErrorInfo(message, self.type, self.code, param, self.retryable)


class InternalError(DreamscopeError):
    """A bug or a failed device call; the text never carries a stack trace."""


class EngineDead(InternalError):
    """The device is gone, and every request with it; the engine has to be started anew."""


# ------------------------------------------------------------------------------- 400: the request is wrong


class InvalidRequest(DreamscopeError):
    """Base of everything that the client can only repair by sending something else."""

    code = "invalid_parameter"
    type = "invalid_request_error"
    status = 400


class InvalidParameter(InvalidRequest):
    """A field has the wrong type or a value out of range."""


class MissingParameter(InvalidRequest):
    """A required field is absent, `null` or blank."""

    code = "missing_parameter"


class InvalidJson(InvalidRequest):
    """The body or frame is not a JSON object."""

    code = "invalid_json"


class InvalidImageUrl(InvalidRequest):
    """`image_url` is neither a base64 data URL nor bare base64."""

    code = "invalid_image_url"


class ImageDecodeFailed(InvalidRequest):
    """The bytes are not a complete JPEG, PNG, WebP or GIF."""

    code = "image_decode_failed"


class ImageTooLarge(InvalidRequest):
    """More pixels than the decoder accepts."""

    code = "image_too_large"


class TooManyImages(InvalidRequest):
    """More images than a request, or the model, can take."""

    code = "too_many_images"


class UnsupportedSkill(InvalidRequest):
    """The skill does not exist, or the model cannot do it."""

    code = "unsupported_skill"


class UnsupportedParameter(InvalidRequest):
    """The field exists elsewhere but not for this request."""

    code = "unsupported_parameter"


class ContextLengthExceeded(InvalidRequest):
    """Prompt and requested tokens do not fit in the model's context."""

    code = "context_length_exceeded"


class ImageUnknown(InvalidRequest):
    """`image_id` was never uploaded on this connection, was dropped, or was evicted."""

    code = "image_unknown"


class UnknownType(InvalidRequest):
    """A websocket message of a type this protocol version does not have."""

    code = "unknown_type"


class AdapterInvalid(InvalidRequest):
    """The adapter exists but does not fit the model, or its file is damaged; the sentence says which."""

    code = "adapter_invalid"


class RequestExists(InvalidRequest):
    """The request id was already used for something else."""

    code = "request_exists"


class MethodNotAllowed(InvalidRequest):
    """The path exists, the verb does not."""

    code = "method_not_allowed"
    status = 405


class PayloadTooLarge(InvalidRequest):
    """Body, frame or upload store above its bound."""

    code = "payload_too_large"
    status = 413


# --------------------------------------------------------------------------- who is asking, and for what


class InvalidApiKey(DreamscopeError):
    """Key missing or wrong."""

    code = "invalid_api_key"
    type = "authentication_error"
    status = 401


class OriginNotAllowed(DreamscopeError):
    """A page of another origin opened the websocket."""

    code = "origin_not_allowed"
    type = "permission_error"
    status = 403


class HostNotAllowed(DreamscopeError):
    """The server was reached by a name that may be somebody else's."""

    code = "host_not_allowed"
    type = "permission_error"
    status = 403


class NotFound(DreamscopeError):
    """No such path."""

    code = "not_found"
    type = "not_found_error"
    status = 404


class ModelNotFound(NotFound):
    """No model of that name, and not one of the known names either."""

    code = "model_not_found"


class AdapterNotFound(NotFound):
    """No adapter of that name and step."""

    code = "adapter_not_found"


class RequestUnknown(NotFound):
    """The request id was never used, or its events have expired."""

    code = "request_unknown"


# ------------------------------------------------------------------------------------ now is a bad moment


class QueueFull(DreamscopeError):
    """Too many requests wait already."""

    code = "queue_full"
    type = "rate_limit_error"
    status = 429
    retryable = True


class TooManyRequests(DreamscopeError):
    """Too many requests in flight on this connection."""

    code = "too_many_requests"
    type = "rate_limit_error"
    status = 429
    retryable = True


class RateLimited(DreamscopeError):
    """The key asks more often than it may."""

    code = "rate_limit_exceeded"
    type = "rate_limit_error"
    status = 429
    retryable = True

    def __init__(self, message: str, param: str | None = None, retry_after: int = 1) -> None:
        super().__init__(message, param)
        self.retry_after = retry_after


class ModelLoading(DreamscopeError):
    """The weights are still being read."""

    code = "model_loading"
    status = 503
    retryable = True


class ShuttingDown(DreamscopeError):
    """The process is stopping."""

    code = "shutting_down"
    status = 503
    retryable = True


class RequestTimeout(DreamscopeError):
    """The request ran into its deadline."""

    code = "request_timeout"
    status = 504


class NotImplementedYet(DreamscopeError):
    """A known name that this build cannot serve."""

    code = "not_implemented"
    type = "not_implemented_error"
    status = 501


# ------------------------------------------------------------------------------- loading a model can fail


class ModelUnavailable(DreamscopeError):
    """The model cannot be loaded; the sentence says what to do. Base of the loading errors."""

    code = "model_unavailable"
    status = 503


class NotEnoughMemory(ModelUnavailable):
    """The model needs more memory than there is; the sentence carries both numbers."""

    code = "not_enough_memory"


class WeightsNotFound(ModelUnavailable):
    """No file, no cached download and no network: where was looked and what to type."""

    code = "weights_not_found"


class WeightsInvalid(ModelUnavailable):
    """A checkpoint lacks a tensor, or one has the wrong shape; the sentence names the key."""

    code = "weights_invalid"


class DeviceUnavailable(ModelUnavailable):
    """The asked-for device or dtype does not exist here."""

    code = "device_unavailable"


# ------------------------------------------------------------------------- a model elsewhere can say no


class RemoteRefused(InvalidRequest):
    """The endpoint of a remote model does not take the request; the sentence says which and why."""

    code = "remote_refused"


class RemoteBusy(DreamscopeError):
    """The endpoint wants fewer requests, and went on wanting that for as long as we waited."""

    code = "remote_busy"
    type = "rate_limit_error"
    status = 429
    retryable = True


class RemoteFailed(DreamscopeError):
    """The endpoint cannot be reached, broke off, or sent what is no answer."""

    code = "remote_failed"
    status = 503
    retryable = True


_FROM_WIRE: dict[str, type[DreamscopeError]] = {
    cls.code: cls for cls in (InvalidParameter, MissingParameter, InvalidJson, UnknownType)
}


def from_wire_error(error: wire.WireError) -> DreamscopeError:
    """The exception for a message that does not fit the schema."""
    return _FROM_WIRE.get(error.code, InvalidParameter)(str(error), error.param)


def _family(cls: type[DreamscopeError]) -> Iterator[type[DreamscopeError]]:
    for below in cls.__subclasses__():
        yield from _family(below)
    yield cls  # after those below, so that a code means its base where some of them have no own


_BY_CODE: Mapping[str, type[DreamscopeError]] = MappingProxyType(
    {cls.code: cls for cls in _family(DreamscopeError)}
)


def from_info(info: wire.ErrorInfo) -> DreamscopeError:
    """The exception that an event has told of; an unknown code is a failure of the server."""
    return _BY_CODE.get(info.code, InternalError)(info.message, info.param)
