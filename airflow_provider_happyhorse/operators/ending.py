"""How a generate task ends: what it hands on, and what it writes down of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_happyhorse.exceptions import (
    GenerationFailed,
    GenerationFailedRetryable,
    GenerationUnreachable,
    InvalidArguments,
)
from airflow_provider_happyhorse.ledger.stamp import stamp_of
from airflow_provider_happyhorse.operators.arguments import GenerateArguments
from airflow_provider_happyhorse.operators.books import Books
from airflow_provider_happyhorse.operators.clip import read_identity, read_pay_again_on
from airflow_provider_happyhorse.operators.downstream import TellsDownstream
from airflow_provider_happyhorse.operators.earlier_tries import EarlierTries
from airflow_provider_happyhorse.operators.moved_rows import tell_other_rows
from airflow_provider_happyhorse.results import XCOM_KEY, new_result, public

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_happyhorse.hooks.happyhorse import HappyHorseHook


class GenerateEndings(TellsDownstream, GenerateArguments):
    """What a generate operator does with what has become of its generation."""

    def _hook(self, conn_id: str | None = None) -> HappyHorseHook:
        from airflow_provider_happyhorse.hooks.happyhorse import HappyHorseHook

        return HappyHorseHook(conn_id or self.happyhorse_conn_id)

    def _deliver(self, context: Context, known: dict[str, Any]) -> dict[str, Any]:
        self._push(context, known)
        published = None
        if self.destination:
            from airflow_provider_happyhorse.operators.publish import publish_result

            hook = self._hook(known["happyhorse_conn_id"])
            published = publish_result(context, known, destination=self.destination, if_exists="skip", hook=hook, log=self.log)
            known = {**known, "uri": published["uri"], "sidecar_uri": published["sidecar_uri"]}
            self._push(context, known)
        self._books(context, known).delivered(known)
        self._tell(context, known, published)
        return public(known)

    def _end_badly(self, context: Context, known: dict[str, Any], problem: Exception) -> NoReturn:
        self._push(context, known)
        if isinstance(problem, GenerationFailed):
            books = self._books(context, known)
            record = books.failed(known, detail=str(problem))
            tell_other_rows(context, books.ledger, record, failed=True)
            words = read_pay_again_on(self.pay_again_on)[0]
            # Without a ledger a retry would stop for not knowing what this try has submitted.
            if "failed_generation" in words and (books.ledger.protects or "unprotected_retry" in words):
                raise GenerationFailedRetryable(f"{problem}; `failed_generation` lets a retry submit it anew") from problem
            then = "" if books.ledger.protects else " with `unprotected_retry` in pay_again_on"
            raise GenerationFailed(f"{problem}. No retry pays again; clear this task{then} to submit it anew") from problem
        raise problem

    def _books(self, context: Context, known: Mapping[str, Any]) -> Books:
        """Return the books after the wait; a connection that cannot be read by then keeps nothing from being delivered."""
        identity = read_identity(self._asked(), task_id=self.task_id, map_index=stamp_of(context).map_index)
        try:
            path = self._hook(known.get("happyhorse_conn_id")).settings.ledger_path
            return Books.open(context, identity=identity, ledger_path=path, log=self.log)
        except Exception:
            self.log.exception("[%s] the connection cannot be read now; how this ends is not on its ledger path", identity.name)
            return Books.open(context, identity=identity, ledger_path="", log=self.log)

    def _resumes(self, context: Context) -> bool:
        """Say whether a retry finds what this try has submitted."""
        return self._books(context, {}).ledger.protects

    def _cannot_begin(self, context: Context, problem: InvalidArguments | GenerationUnreachable) -> NoReturn:
        """End a try that could not read what it goes on with: an earlier one may have paid, and that is what the task is about then."""
        stamp = stamp_of(context)
        if stamp.try_number <= 1:
            self._push_refused(context)
            raise problem
        identity = read_identity(self._asked(), task_id=self.task_id, map_index=stamp.map_index)
        earlier = EarlierTries.of(context, identity=identity, hook=self._hook(), log=self.log)
        if earlier.known is not None:
            conn_id = str(self.happyhorse_conn_id)
            nothing = new_result(name=identity.name, kind=self.kind, service="", happyhorse_conn_id=conn_id)
            self._push(context, {**nothing, **earlier.known})
        elif earlier.nothing:
            self._push_refused(context)
        by = " by this try" if isinstance(problem, InvalidArguments) and not earlier.nothing else ""
        raise type(problem)(f"{problem}{by}{earlier.said()}") from problem.__cause__

    def _push_refused(self, context: Context) -> None:
        # A report of the run finds the clip by this, as it finds those that were paid for.
        name, conn_id = self.grid_name or self.task_id, str(self.happyhorse_conn_id)
        self._push(context, new_result(name=name, kind=self.kind, service="", happyhorse_conn_id=conn_id, state="refused"))

    def _push(self, context: Context, known: Mapping[str, Any]) -> None:
        if known["generation_id"]:
            context["ti"].xcom_push(key="generation_id", value=known["generation_id"])
        context["ti"].xcom_push(key=XCOM_KEY, value=public(known))
