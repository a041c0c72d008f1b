"""Every error that Enginehouse raises on purpose, in one tree.

::

    EnginehouseError
    ├── SettingsError            a setting has a value that cannot be used
    ├── NameRefusedError         a name that Triton or MLflow cannot carry
    ├── CheckpointError          the checkpoint cannot be read or is not supported
    ├── BuildError               a build was refused or could not finish
    │   ├── QualityError         the engine is too far from its reference
    │   └── ReferenceMissingError    nothing to compare the engine with
    ├── BundleError              an engine bundle is damaged or incomplete
    │   └── FingerprintError     the bundle does not fit this host
    ├── RegistryError            the registry refused, or does not answer
    │   ├── NotRegisteredError   no such model, version or alias
    │   ├── InUseError           a version cannot go: it is loaded, aliased or being released
    │   └── ConflictError        somebody else changed the same thing, or holds the lease
    │       └── LeaseLostError   a controller that lost the lease wanted to write
    ├── RolloutError             a rollout, a gate or an experiment cannot do what was asked
    │   ├── SpecError            a rollout's or an experiment's file has a field that is wrong
    │   └── GateError            a gate refused a version
    ├── StoreError               the endpoint's database or shared store fails
    │   └── AuditTrailError      a record of the audit trail was changed, moved or removed
    ├── RoutesError              a routes file that cannot be read
    ├── ControllerError          the release controller does not answer, or refuses
    ├── StackError               the local stack cannot start or keep running
    │   └── PortTakenError       a port is in use already
    └── ServingError             one request failed; crosses Triton as text, see `to_wire`
        ├── InvalidRequestError  the caller's input is wrong
        │   ├── InvalidJsonError     it is not JSON at all
        │   └── ContextOverflowError
        ├── UnauthenticatedError the key is missing, unknown, revoked or expired
        ├── ForbiddenError       the caller may not ask for this
        ├── NotFoundError        no such response, file, batch or key
        ├── RateLimitError       a limit of the tenant or the key is reached
        │   └── BudgetError      what may be spent in this day or month is spent
        ├── ContentBlockedError  a content rule refuses the prompt
        ├── ModelNotFoundError   no such model or version is loaded
        ├── QueueFullError       admission refused: try again later
        │   └── GuideCompilerBusyError   guides are compiled one at a time, and too many wait
        ├── RequestCancelledError    the caller asked for the end
        ├── DeadlineError        the time the caller gave ran out
        └── EngineUnavailableError   the engine is gone, broken or being repaired

Triton carries an error of a stream as one string. `to_wire` puts the class's code and the
offending field in front of the sentence, and `from_wire` rebuilds the exception on the
other side, so that the adapter maps types and never searches texts.
"""

from __future__ import annotations

import re
from typing import ClassVar, Self


class EnginehouseError(Exception):
    """Base of all; `str(error)` is one sentence that a user can act on.

    Attributes:
        public: what callers of the HTTP API are told instead, where `str(error)` may name hosts,
            users, files or what a driver said; None tells them the sentence itself.
    """

    public: str | None = "internal error; the adapter's log has the details"

    def told(self, public: str | None) -> Self:
        """The same error, of which callers are told this; None is its own sentence."""
        self.public = public
        return self


class SettingsError(EnginehouseError):
    """A setting has a value that cannot be used."""


class NameRefusedError(EnginehouseError):
    """A model name that Triton or MLflow cannot carry."""

    public = None


class CheckpointError(EnginehouseError):
    """The checkpoint cannot be read, or its kind is not supported."""


class BuildError(EnginehouseError):
    """A build was refused or could not finish; nothing that looks like a bundle is left."""


class QualityError(BuildError):
    """The engine is further from its reference than its format allows."""


class ReferenceMissingError(BuildError):
    """There is no reference result, and it cannot be computed here."""


class BundleError(EnginehouseError):
    """An engine bundle is damaged, incomplete or of an unknown schema."""


class FingerprintError(BundleError):
    """The bundle was built for a runtime or a host that this one is not."""


class RegistryError(EnginehouseError):
    """The registry refused, or does not answer."""

    public: str | None = "the model registry cannot be used right now: try again later"


class NotRegisteredError(RegistryError):
    """No such model, version or alias in the registry."""

    public = None


class InUseError(RegistryError):
    """A version cannot go: it is loaded, aliased or being released."""

    public = None


class ConflictError(RegistryError):
    """Somebody else changed the same thing in between, or holds the lease."""

    public = None


class LeaseLostError(ConflictError):
    """A release controller that lost the lease, or never had it, wanted to write."""


class RolloutError(EnginehouseError):
    """A rollout, a gate or an experiment cannot do what was asked in the state that it is in."""

    public = None


class SpecError(RolloutError):
    """A rollout's or an experiment's file has a field that is wrong; the sentence names it."""


class GateError(RolloutError):
    """A gate refused a version; the sentence says which, on which numbers."""


class StoreError(EnginehouseError):
    """The endpoint's database or its shared store fails."""

    public: str | None = "the endpoint's store cannot be used right now: try again later"


class AuditTrailError(StoreError):
    """A record of the audit trail was changed, moved or removed; the sentence says where."""


class RoutesError(EnginehouseError):
    """A routes file that cannot be read."""


class ControllerError(EnginehouseError):
    """The release controller does not answer, or refuses."""


class StackError(EnginehouseError):
    """The local stack cannot start or cannot keep running."""


class PortTakenError(StackError):
    """A port that the stack needs is in use already."""


class ServingError(EnginehouseError):
    """One request failed.

    Attributes:
        code: a stable word for programs, the same on the wire, in HTTP bodies and metrics.
        field: the input's name as the caller of this layer knows it, or None.
    """

    code: ClassVar[str] = "internal_error"
    public = None

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class InvalidRequestError(ServingError):
    """The caller's input is wrong; `field` names it."""

    code = "invalid_value"


class InvalidJsonError(InvalidRequestError):
    """What should be JSON is not, or is nested too deep."""

    code = "invalid_json"


class ContextOverflowError(InvalidRequestError):
    """Prompt and answer together exceed the model's context.

    Attributes:
        prompt_tokens, context: tokens; 0 is not known.
    """

    code = "context_length_exceeded"

    def __init__(
        self, message: str, *, field: str | None = None, prompt_tokens: int = 0, context: int = 0
    ) -> None:
        # Newer SDKs leave the code out of their exception's text, where frameworks look for it.
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
        retry_after_s: when it is worth to try again, in seconds.
    """

    code = "rate_limit_exceeded"

    def __init__(
        self, message: str, *, field: str | None = None, retry_after_s: float = 1.0
    ) -> None:
        super().__init__(message, field=field)
        self.retry_after_s = retry_after_s


class BudgetError(RateLimitError):
    """What may be spent in this day or month is spent."""

    code = "insufficient_quota"


class ContentBlockedError(ServingError):
    """A content rule refuses the prompt."""

    code = "content_filter"


class ForbiddenError(ServingError):
    """The caller may not ask for this."""

    code = "forbidden"


class ModelNotFoundError(ServingError):
    """No such model or version is loaded."""

    code = "model_not_found"


class QueueFullError(ServingError):
    """The engine's waiting queue is at its limit.

    Attributes:
        retry_after_s: when it is worth to try again, in seconds.
    """

    code = "queue_full"

    def __init__(
        self, message: str, *, field: str | None = None, retry_after_s: float = 1.0
    ) -> None:
        super().__init__(message, field=field)
        self.retry_after_s = retry_after_s


class GuideCompilerBusyError(QueueFullError):
    """Guides are compiled one at a time, and this one could not be in time."""

    code = "guide_compiler_busy"


class RequestCancelledError(ServingError):
    """The caller asked for the end of this request."""

    code = "cancelled"


class DeadlineError(ServingError):
    """The time that the caller gave ran out."""

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
    """Encode as ``[code field] sentence``, the form in which Triton carries it."""
    where = f" {error.field}" if error.field else ""
    return f"[{error.code}{where}] {error}"


def from_wire(text: str) -> ServingError | None:
    """Rebuild the exception from anywhere inside Triton's error text; None if it holds none."""
    found = _WIRE.search(text)
    if found is None or found["code"] not in _BY_CODE:
        return None
    return _BY_CODE[found["code"]](found["message"].strip(), field=found["field"])
