"""What a call to a service can end with. Each says whether another try can help.

Plain exceptions: what they mean for a task is decided above (``exceptions.py``).
"""

from __future__ import annotations


class ServiceError(Exception):
    """A call did not give the answer it was made for."""


class Unsupported(ServiceError):
    """The service documents no such call. Another try cannot help."""


class Unreachable(ServiceError):
    """Nothing was sent: no address, no connection, no trusted certificate. Another try is safe and may help."""


class Ambiguous(ServiceError):
    """The request left, or may have, and no readable answer came: it may have been accepted.

    Another try is safe for a call that costs nothing, and never for the paying one.
    """


class RateLimited(ServiceError):
    """HTTP 429: not accepted, too many requests. Another try after ``retry_after`` seconds helps.

    :param retry_after: seconds the service asks to wait, or None when it does not say.
    :param code: the vendor's own word, ``""`` when it gave none.
    """

    def __init__(self, message: str, *, retry_after: float | None = None, code: str = "") -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.code = code


class Rejected(ServiceError):
    """The service read the request and refused it. Another try of the same request cannot help.

    :param status: HTTP status, or the ``code`` of the envelope when the service wraps a refusal in HTTP 200.
    :param code: the vendor's own word, ``""`` when it gave none.
    :param message: the vendor's sentence.
    """

    def __init__(self, message: str, *, status: int, code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code

    @property
    def message(self) -> str:
        """The vendor's sentence."""
        return str(self.args[0])

    def __str__(self) -> str:
        return f"{self.status} {self.code}: {self.message}" if self.code else f"{self.status}: {self.message}"


class InvalidRequest(Rejected):
    """The vendor names a mistake in the request (happy-horse.ai validation_error; happyhorse.app INVALID_*)."""


class Unauthorized(Rejected):
    """401: the API key is missing, wrong or revoked. Another try helps only with another key."""


class InsufficientCredits(Rejected):
    """The account cannot pay for it (403 on happy-horse.ai, 402 on happyhorse.app). Another try helps after a top-up."""


class PaidAccessRequired(Rejected):
    """The model needs a plan the account does not have (happy-horse.ai, 403). Another try cannot help."""


class NotFound(Rejected):
    """404: no such thing at the service; neither vendor documents one, so it may also be a moment too early."""


class ServiceFault(ServiceError):
    """5xx, or an answer that is not the service's own (a proxy's 403). Another try may help; see :class:`Ambiguous` when paying."""

    def __init__(self, message: str, *, status: int, retry_after: float | None = None, code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after
        self.code = code


class BadResponse(ServiceError):
    """The answer came and cannot be read as the vendor documents it. Another try may help; see :class:`Ambiguous` when paying."""
