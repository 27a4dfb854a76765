"""Generate a video."""

from __future__ import annotations

from typing import ClassVar

from airflow_provider_happyhorse.api.generation import Kind
from airflow_provider_happyhorse.operators.base import HappyHorseGenerateOperator


class HappyHorseGenerateVideoOperator(HappyHorseGenerateOperator):
    """Submit a video, wait for it without a worker slot, and return what downstream tasks need; pay for it once.

    A table row is a request: ``.expand(request=rows)`` maps the operator over rows, outside and inside mapped task groups.
    ``expand_kwargs`` would render the data of the rows as Jinja and break on a missing column.

    :param prompt: shorthand for ``request["prompt"]``; both is an error.
    :param request: vendor fields under vendor names (:class:`~airflow_provider_happyhorse.api.models.VideoRequest`); it may also carry
        ``name``, ``take`` and ``max_credits``. Values as CSV and SQL give them are understood: ``""``, None and NaN are unset.
    :param name: the clip's name: grid label, log prefix, file name, sidecar. None takes the task id, and the map index when mapped.
    :param destination: publish the result there too: a folder ending in ``/``, or the exact object. Checked before paying.
    :param happyhorse_conn_id: connection of type ``happyhorse``.
    :param wait_for_completion: False is done once the id is known.
    :param deferrable: wait in the triggerer; None takes ``[happyhorse] deferrable``, which is True.
    :param timeout: seconds this try waits, more than 0; a shorter ``execution_timeout`` wins. Nothing is cancelled, a retry waits again.
    :param max_credits: refuse what is estimated above it, or has no known price; the connection's cap applies too, the lower wins.
    :param take: change it and clear the task to ask for another take of an unchanged request.
    :param pay_again_on: when money may flow again: ``changed_request`` (cleared with another request, the default),
        ``failed_generation`` (a retry after the service failed it), ``ambiguous_submit`` (a submission that may exist),
        ``unprotected_retry`` (a retry on an Airflow that keeps no record, before 3.3). Commas separate words in a template.
    :return: the flat result: ``generation_id``, ``name``, ``kind``, ``service``, ``happyhorse_conn_id``, ``state``, ``result_urls``,
        ``credits``, ``credits_estimated``, ``model``, ``duration``, ``aspect_ratio``, ``submitted_at``, ``completed_at``, ``reused``,
        ``uri``, ``sidecar_uri``. The same is in XCom ``happyhorse`` from submission on, and the id in ``generation_id``.
    :raises InvalidArguments: for anything the service documents to refuse, at parse time where the values are final, else before sending.
    :raises BudgetExceeded: above ``max_credits``; nothing was sent.
    :raises NotSubmitted: the service refused it; nothing was paid.
    :raises NotAcceptedYet: it could not be handed over; nothing was paid and a retry may try.
    :raises AmbiguousSubmission: it may have been accepted; retries stop.
    :raises SubmissionStopped: an earlier try has, or may have, submitted; nothing was sent.
    :raises GenerationFailed: the service ended it as failed; retries do not pay again.
    :raises GenerationTimeout: it still runs; a retry waits for the same one.
    :raises PublishFailed: the result could not be stored; it stays at the service and a clear publishes it without paying.
    """

    kind: ClassVar[Kind] = "video"
