"""All errors that Enginehouse raises deliberately, in one tree.

::

    EnginehouseError
    ├── SettingsError            a setting has an invalid value
    ├── NameRefusedError         a model name is not valid for Triton or MLflow
    ├── CheckpointError          the checkpoint cannot be read or is not supported
    ├── BuildError               a build was rejected or could not finish
    │   ├── QualityError         the engine is too far from its reference
    │   └── ReferenceMissingError    nothing to compare the engine with
    ├── BundleError              an engine bundle is damaged or incomplete
    │   └── FingerprintError     the bundle does not fit this host
    ├── RegistryError            the registry rejected a request, or does not answer
    │   ├── NotRegisteredError   no such model, version or alias
    │   ├── InUseError           a version cannot be deleted: loaded, aliased or being released
    │   └── ConflictError        a concurrent change, or the lease is held elsewhere
    │       └── LeaseLostError   a controller without the lease tried to write
    ├── RolloutError             a rollout, gate or experiment cannot do what was asked
    │   ├── SpecError            a rollout's or experiment's file has an invalid field
    │   └── GateError            a gate rejected a version
    ├── StoreError               the endpoint's database or shared store fails
    │   └── AuditTrailError      a record of the audit trail was changed, moved or removed
    ├── RoutesError              a routes file cannot be read
    ├── ControllerError          the release controller does not answer, or rejects a request
    ├── StackError               the local stack cannot start or keep running
    │   └── PortTakenError       a port is in use already
    └── ServingError             one request failed; crosses Triton as text, see `to_wire`
        ├── InvalidRequestError  the caller's input is invalid
        │   ├── InvalidJsonError     the input is not JSON
        │   └── ContextOverflowError
        ├── UnauthenticatedError the key is missing, unknown, revoked or expired
        ├── ForbiddenError       the caller is not permitted to do this
        ├── NotFoundError        no such response, file, batch or key
        ├── RateLimitError       a limit of the tenant or the key is reached
        │   └── BudgetError      the day's or month's budget is spent
        ├── ContentBlockedError  a content rule rejects the prompt
        ├── ModelNotFoundError   no such model or version is loaded
        ├── QueueFullError       not admitted: try again later
        │   └── GuideCompilerBusyError   guides are compiled one at a time; too many are waiting
        ├── RequestCancelledError    the caller cancelled the request
        ├── DeadlineError        the request's deadline has passed
        └── EngineUnavailableError   the engine is gone, broken or being repaired

Triton carries a stream's error as one string. `to_wire` puts the class's code and the field in
front of the message, and `from_wire` restores the exception on the other side, so that the adapter
maps types and never parses messages.
"""

from __future__ import annotations

import re
from typing import ClassVar, Self


class EnginehouseError(Exception):
    """Base class; `str(error)` is one sentence that a user can act on.

    Attributes:
        public: message for callers of the HTTP API, if `str(error)` may contain hosts, users,
            files or driver messages; None means that they get the message itself.
    """

    public: str | None = "internal error; the adapter's log has the details"

    def told(self, public: str | None) -> Self:
        """Set the public message and return the same error; None makes its message public."""
        self.public = public
        return self


class SettingsError(EnginehouseError):
    """A setting has an invalid value."""


class NameRefusedError(EnginehouseError):
    """A model name is not valid for Triton or MLflow."""

    public = None


class CheckpointError(EnginehouseError):
    """The checkpoint cannot be read, or its kind is not supported."""


class BuildError(EnginehouseError):
    """A build was rejected or could not finish; no partial bundle is left behind."""


class QualityError(BuildError):
    """The engine is further from its reference than its format allows."""


class ReferenceMissingError(BuildError):
    """There is no reference result, and it cannot be computed on this host."""


class BundleError(EnginehouseError):
    """An engine bundle is damaged, incomplete or has an unknown schema."""


class FingerprintError(BundleError):
    """The bundle was built for another runtime or host."""


class RegistryError(EnginehouseError):
    """The registry rejected a request, or does not answer."""

    public: str | None = "the model registry cannot be used right now: try again later"


class NotRegisteredError(RegistryError):
    """No such model, version or alias in the registry."""

    public = None


class InUseError(RegistryError):
    """A version cannot be deleted: it is loaded, aliased or being released."""

    public = None


class ConflictError(RegistryError):
    """A concurrent change was made, or another controller holds the lease."""

    public = None


class LeaseLostError(ConflictError):
    """A release controller that lost the lease, or never had it, tried to write."""


class RolloutError(EnginehouseError):
    """A rollout, gate or experiment cannot do what was asked in its current state."""

    public = None


class SpecError(RolloutError):
    """A rollout's or experiment's file has an invalid field; the message names it."""


class GateError(RolloutError):
    """A gate rejected a version; the message has the gate and its numbers."""


class StoreError(EnginehouseError):
    """The endpoint's database or shared store fails."""

    public: str | None = "the endpoint's store cannot be used right now: try again later"


class AuditTrailError(StoreError):
    """A record of the audit trail was changed, moved or removed; the message says which one."""


class RoutesError(EnginehouseError):
    """A routes file cannot be read."""


class ControllerError(EnginehouseError):
    """The release controller does not answer, or rejects a request."""


class StackError(EnginehouseError):
    """The local stack cannot start or cannot keep running."""


class CheckoutOnlyError(EnginehouseError):
    """The command's code is in a checkout of the project, and not in the installed package."""


class PortTakenError(StackError):
    """A port that the stack needs is already in use."""


class ServingError(EnginehouseError):
    """One request failed.

    Attributes:
        code: stable machine-readable code, the same on the wire, in HTTP bodies and in metrics.
        field: name of the invalid input as the caller of this layer knows it, or None.
    """

    code: ClassVar[str] = "internal_error"
    public = None

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class InvalidRequestError(ServingError):
    """The caller's input is invalid; `field` names it."""

    code = "invalid_value"


class InvalidJsonError(InvalidRequestError):
    """The input is not JSON, or is nested too deeply."""

    code = "invalid_json"


class ContextOverflowError(InvalidRequestError):
    """Prompt and answer together exceed the model's context.

    Attributes:
        prompt_tokens, context: tokens; 0 if unknown.
    """

    code = "context_length_exceeded"

    def __init__(
        self, message: str, *, field: str | None = None, prompt_tokens: int = 0, context: int = 0
    ) -> None:
        # Newer SDKs omit the code from their exception's text, where frameworks look for it.
        said = message if self.code in message else f"{message} ({self.code})"
        super().__init__(said, field=field)
        self.prompt_tokens = prompt_tokens
        self.context = context


class UnauthenticatedError(ServingError):
    """The key is missing, unknown, revoked or expired."""

    code = "invalid_api_key"


class NotFoundError(ServingError):
    """No such response, file, batch or key."""

    code = "not_found"


class RateLimitError(ServingError):
    """A limit of the tenant or the key is reached.

    Attributes:
        retry_after_s: when to try again, in seconds.
    """

    code = "rate_limit_exceeded"

    def __init__(
        self, message: str, *, field: str | None = None, retry_after_s: float = 1.0
    ) -> None:
        super().__init__(message, field=field)
        self.retry_after_s = retry_after_s


class BudgetError(RateLimitError):
    """The budget of this day or month is spent."""

    code = "insufficient_quota"


class ContentBlockedError(ServingError):
    """A content rule rejects the prompt."""

    code = "content_filter"


class ForbiddenError(ServingError):
    """The caller is not permitted to do this."""

    code = "forbidden"


class ModelNotFoundError(ServingError):
    """No such model or version is loaded."""

    code = "model_not_found"


class QueueFullError(ServingError):
    """The engine's waiting queue is at its limit.

    Attributes:
        retry_after_s: when to try again, in seconds.
    """

    code = "queue_full"

    def __init__(
        self, message: str, *, field: str | None = None, retry_after_s: float = 1.0
    ) -> None:
        super().__init__(message, field=field)
        self.retry_after_s = retry_after_s


class GuideCompilerBusyError(QueueFullError):
    """Guides are compiled one at a time, and this one would have waited too long."""

    code = "guide_compiler_busy"


class RequestCancelledError(ServingError):
    """The caller cancelled this request."""

    code = "cancelled"


class DeadlineError(ServingError):
    """The request's deadline has passed."""

    code = "deadline_exceeded"


class EngineUnavailableError(ServingError):
    """The engine is gone, broken or being repaired."""

    code = "engine_unavailable"


_BY_CODE: dict[str, type[ServingError]] = {
    error.code: error
    for error in (
        ServingError,
        InvalidRequestError,
        InvalidJsonError,
        ContextOverflowError,
        UnauthenticatedError,
        ForbiddenError,
        NotFoundError,
        RateLimitError,
        BudgetError,
        ContentBlockedError,
        ModelNotFoundError,
        QueueFullError,
        GuideCompilerBusyError,
        RequestCancelledError,
        DeadlineError,
        EngineUnavailableError,
    )
}
_WIRE = re.compile(r"\[(?P<code>[a-z_]+)(?: (?P<field>[\w.]+))?\] (?P<message>.*)", re.DOTALL)


def to_wire(error: ServingError) -> str:
    """Encode an error as ``[code field] message``, the form in which Triton carries it."""
    where = f" {error.field}" if error.field else ""
    return f"[{error.code}{where}] {error}"


def from_wire(text: str) -> ServingError | None:
    """Restore the exception from anywhere in Triton's error text; None if there is none."""
    found = _WIRE.search(text)
    if found is None or found["code"] not in _BY_CODE:
        return None
    return _BY_CODE[found["code"]](found["message"].strip(), field=found["field"])
