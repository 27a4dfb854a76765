"""A ready-made ``retry_policy`` for tasks that talk to a HappyHorse service (Airflow 3.3 and later).

What must never be retried stops retries without it, on every Airflow: those exceptions derive from ``AirflowFailException``, about which
Airflow asks no policy. The policy adds how long to wait for the others, and stops what only code of the author's own can end with.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from airflow.providers.common.compat.sdk import AirflowOptionalProviderFeatureException

from airflow_provider_happyhorse._compat import HAS_RETRY_POLICIES
from airflow_provider_happyhorse.api.errors import Ambiguous, NotFound, RateLimited, Rejected, ServiceFault, Unsupported
from airflow_provider_happyhorse.exceptions import GenerationTimeout, NotAcceptedYet

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import RetryPolicy

#: Before a video that was not ready in time is waited for again: nothing has to recover meanwhile.
SOON = timedelta(seconds=10)
#: Seconds after which a service is asked again that asks for a longer pause.
LONGEST = 3600.0


class Advice(NamedTuple):
    """What to do about an exception.

    :param action: Airflow's word; ``default`` leaves it to the task's own ``retries`` and ``retry_delay``.
    :param delay: before the retry, None for the task's own ``retry_delay``.
    :param reason: one sentence for the log and the task instance.
    """

    action: Literal["retry", "fail", "default"]
    delay: timedelta | None = None
    reason: str | None = None


def advice(exception: BaseException, *, pays: bool = True) -> Advice:
    """Return what to do about an exception of a task.

    :param pays: the task's own code may have submitted; False for a task that is known not to.
    """
    match exception:
        case GenerationTimeout():
            return Advice("retry", SOON, "the generation still runs, and a retry waits for the same one")
        case NotAcceptedYet():
            return Advice("retry", _asked_for(exception.__cause__), "nothing was accepted or paid, and a retry submits")
        case RateLimited():
            return Advice("retry", _asked_for(exception), "the service asks to come back later")
        case ServiceFault():
            return Advice("retry", _asked_for(exception), "the service has a fault of its own")
        case Ambiguous() if pays:
            return Advice("fail", reason="a submission may have been accepted, and a retry could pay for it again")
        case Unsupported() | Rejected() if not isinstance(exception, NotFound):
            return Advice("fail", reason="the service refuses this, and would refuse it again")
    return Advice("default")


def happyhorse_retry_policy() -> RetryPolicy:
    """Return a policy for ``retry_policy=`` of any task, also in ``default_args``.

    It never retries more often than the task's ``retries`` allow.

    :raises AirflowOptionalProviderFeatureException: before Airflow 3.3, which has no retry policies, when the DAG file is parsed.
    """
    if not HAS_RETRY_POLICIES:
        raise AirflowOptionalProviderFeatureException(
            "happyhorse_retry_policy() needs Airflow 3.3 or later. Leave `retry_policy` out here: what must not be retried stops the "
            "retries of HappyHorse tasks without it"
        )
    # Not at the top: these names, and so a class that derives from one of them, do not exist before Airflow 3.3.
    from airflow.providers.common.compat.sdk import RetryAction, RetryDecision, RetryPolicy

    class HappyHorseRetryPolicy(RetryPolicy):
        def evaluate(
            self,
            exception: BaseException,
            try_number: int,  # noqa: ARG002  Airflow's signature
            max_tries: int,  # noqa: ARG002
            context: Mapping[str, Any] | None = None,
        ) -> RetryDecision:
            action, delay, reason = advice(exception, pays=not _only_uploads(context))
            return RetryDecision(action=RetryAction(action), retry_delay=delay, reason=reason)

    return HappyHorseRetryPolicy()


def _asked_for(error: BaseException | None) -> timedelta | None:
    """Return how long the service asks to wait, None when it does not say."""
    seconds = error.retry_after if isinstance(error, (RateLimited, ServiceFault)) else None
    return None if seconds is None else timedelta(seconds=min(max(seconds, 0.0), LONGEST))


def _only_uploads(context: Mapping[str, Any] | None) -> bool:
    """Say whether the task uploads an image and nothing else, of which nothing is ever paid."""
    from airflow_provider_happyhorse.operators.upload import HappyHorseUploadImageOperator

    return context is not None and isinstance(context["ti"].task, HappyHorseUploadImageOperator)
