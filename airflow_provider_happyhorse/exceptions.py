"""What a task can end with. Each text says what happened, to which generation, what became of the money, and what to do.

Those that derive from ``AirflowFailException`` stop Airflow's retries on every version; after the others a retry may help, and costs
nothing that is not asked for: it re-attaches to what was submitted.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException


class InvalidArguments(AirflowFailException):
    """What the author wrote cannot be sent; nothing was. Not a ``ValueError``: that would burn the retries of a mapped task."""


class NotSubmitted(AirflowFailException):
    """The service refused the submission, or it was never sent; nothing was paid. A retry would be refused again."""


class NotAcceptedYet(AirflowException):
    """The submission could not be handed over (no connection, too many requests) and was provably not accepted; a retry may try.

    Of an upload: the ledger does not tell, or has not kept, where the image is hosted.
    """


class BudgetExceeded(AirflowFailException):
    """The estimate is above ``max_credits``, or unknown while there is a cap, or above the balance; nothing was submitted."""


class AmbiguousSubmission(AirflowFailException):
    """A submission may exist and be paid for, and nothing proves which; a retry must not pay for it again."""


class SubmissionStopped(AirflowFailException):
    """An earlier try has submitted, or may have, and what it left does not allow another submission; nothing was sent.

    Of an upload: what the ledger says of the image cannot be understood.
    """


class GenerationFailed(AirflowFailException):
    """The service ended the generation as failed; a retry would not pay for another unless ``pay_again_on`` says so."""


class GenerationFailedRetryable(AirflowException):
    """The service ended the generation as failed, and ``failed_generation`` in ``pay_again_on`` lets a retry submit another."""


class GenerationUnreachable(AirflowException):
    """Service (key revoked, id unknown), ledger or connection do not tell about this generation now; a retry asks again, it may be fine."""


class GenerationTimeout(AirflowException):
    """This try's wait is over and the generation still runs; nothing was cancelled, a retry waits for the same one."""


class PublishFailed(AirflowException):
    """The network or a storage failed; the result is not stored, nothing partial is visible, and a retry may help."""


class PublishRefused(PublishFailed, AirflowFailException):
    """The result, its address, its name or the destination is not acceptable; a retry would meet the same refusal."""
