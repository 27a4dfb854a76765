"""What ``happyhorse_retry_policy()`` makes of every ending of a task."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, AirflowOptionalProviderFeatureException, task
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from airflow_provider_happyhorse import exceptions
from airflow_provider_happyhorse.api import errors
from airflow_provider_happyhorse.operators import HappyHorseGenerateVideoOperator, HappyHorseUploadImageOperator
from airflow_provider_happyhorse.retry_policy import Advice, advice, happyhorse_retry_policy
from tests.dag_runs import run_dag
from tests.documentation import PAGES, section, table

needs_policies = pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="retry policies came with Airflow 3.3")


def not_accepted(because: Exception) -> exceptions.NotAcceptedYet:
    problem = exceptions.NotAcceptedYet("not submitted")
    problem.__cause__ = because
    return problem


@pytest.mark.parametrize(
    ("exception", "action", "delay"),
    [
        (exceptions.GenerationTimeout("still running"), "retry", 10),
        (exceptions.GenerationUnreachable("key refused"), "default", None),
        (exceptions.GenerationFailedRetryable("moderation"), "default", None),
        (not_accepted(errors.Unreachable("refused")), "retry", None),
        (not_accepted(errors.RateLimited("slow down", retry_after=240)), "retry", 240),
        (not_accepted(errors.RateLimited("slow down")), "retry", None),
        (errors.RateLimited("slow down", retry_after=10**20), "retry", 3600),
        (errors.RateLimited("slow down", retry_after=-5), "retry", 0),
        (errors.ServiceFault("maintenance", status=503, retry_after=120), "retry", 120),
        (errors.ServiceFault("broken", status=500), "retry", None),
        (errors.Unreachable("refused"), "default", None),
        (errors.BadResponse("<html>"), "default", None),
        (errors.Ambiguous("reset"), "fail", None),
        (errors.InvalidRequest("duration", status=400), "fail", None),
        (errors.Unauthorized("bad key", status=401), "fail", None),
        (errors.InsufficientCredits("empty", status=403), "fail", None),
        (errors.NotFound("too early, perhaps", status=404), "default", None),
        (errors.Unsupported("no list"), "fail", None),
        (RuntimeError("the author's own"), "default", None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_what_follows_from_each_exception(exception: Exception, action: str, delay: float | None) -> None:
    found = advice(exception)
    assert (found.action, found.delay) == (action, None if delay is None else timedelta(seconds=delay))
    assert bool(found.reason) is (action != "default")


def test_an_upload_pays_nothing_so_it_may_be_tried_again() -> None:
    assert advice(errors.Ambiguous("reset"), pays=False) == Advice("default")


def test_what_must_not_be_retried_stops_without_a_policy() -> None:
    """Airflow asks no policy about these, so a policy has nothing to say of them."""
    ours = [kind for _, kind in inspect.getmembers(exceptions, inspect.isclass) if kind.__module__ == exceptions.__name__]
    stops = [kind for kind in ours if issubclass(kind, AirflowFailException)]
    assert len(stops) > 5
    assert {advice(kind("stop")) for kind in stops} == {Advice("default")}


def test_the_documentation_tells_what_the_policy_does() -> None:
    told = table(section(PAGES["operators.md"], "## A retry policy"))
    for name, row in told.items():
        kind = getattr(exceptions, name, None) or getattr(errors, name)
        given = {"status": 500} if issubclass(kind, (errors.Rejected, errors.ServiceFault)) else {}
        assert advice(kind("x", **given)).action == row[1].strip("`"), name


@needs_policies
def test_the_policy_answers_in_airflows_words() -> None:
    policy = happyhorse_retry_policy()
    generate = SimpleNamespace(task=HappyHorseGenerateVideoOperator(task_id="generate", prompt="a kettle"))
    upload = SimpleNamespace(task=HappyHorseUploadImageOperator(task_id="upload", image="a.png"))
    timeout = policy.evaluate(exceptions.GenerationTimeout("still running"), 1, 3, {"ti": generate})
    assert (timeout.action.value, timeout.retry_delay) == ("retry", timedelta(seconds=10))
    assert policy.evaluate(errors.Ambiguous("reset"), 1, 3, {"ti": generate}).action.value == "fail"
    assert policy.evaluate(errors.Ambiguous("reset"), 1, 3, None).action.value == "fail"
    assert policy.evaluate(errors.Ambiguous("reset"), 1, 3, {"ti": upload}).action.value == "default"


@needs_policies
def test_a_lost_answer_in_an_authors_own_code_is_not_submitted_again(airflow_database: None) -> None:
    """``hook.submit`` in a ``@task`` has no record; the policy keeps its retries from paying again."""
    tries: list[int] = []
    with DAG("own_code", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False) as dag:

        @task(retries=3, retry_delay=timedelta(0), retry_policy=happyhorse_retry_policy())
        def submit() -> None:
            tries.append(1)
            raise errors.Ambiguous("reset")

        submit()
    assert run_dag(dag).states("submit") == ["failed"]
    assert len(tries) == 1


@pytest.mark.skipif(AIRFLOW_V_3_3_PLUS, reason="Airflow has retry policies")
def test_before_airflow_3_3_the_dag_file_says_so_when_it_is_parsed() -> None:
    with pytest.raises(AirflowOptionalProviderFeatureException, match=r"needs Airflow 3\.3"):
        happyhorse_retry_policy()
