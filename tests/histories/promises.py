"""What must hold after every step of a history, and at its end."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import AirflowException
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from airflow_provider_happyhorse.exceptions import NotAcceptedYet
from airflow_provider_happyhorse.results import REQUEST_KEY
from tests.histories.person import takes_the_way_out
from tests.histories.tries import Death
from tests.histories.world import Instance, World


def nothing_is_paid_that_nobody_asked_for(world: World) -> None:
    assert not world.judge.complaints, "\n".join(world.judge.complaints)


def nothing_paid_is_forgotten(world: World) -> None:
    """Every paid generation is on record now, or a stop leads to it, or the log names it; but not where nothing keeps a record."""
    kept = world.ids_on_record()
    doubts = [facts for steps in world.records() for facts in steps[-1].get("others", {}).values() if not facts.get("generation_id")]
    stopped = [steps[-1] for steps in world.records() if steps[-1]["state"] in ("intent", "ambiguous")]
    for decision in world.judge.decisions:
        if decision.job is None or decision.by.alive or decision.settled or decision.job.id in kept or not world.protected:
            continue
        if decision.failed:
            logs = "\n".join(one.log.text() for instance in world.instances for one in instance.tries)
            assert decision.job.id in logs, f"failed, and nothing says so: {decision}"
            continue
        by = (decision.by.index, decision.by.number)
        # A doubt that another clip's submission under the same map index has left in its record.
        kept_doubt = any((facts.get(REQUEST_KEY) or {}).get("prompt") == decision.asked.prompt for facts in doubts)
        leads_to_it = kept_doubt or any((step.get("map_index"), step.get("try_number")) == by for step in stopped)
        assert not decision.known, f"its id was on record and is on none now: {decision}"
        assert leads_to_it or decision.job.id in decision.by.log.text("ERROR"), f"no record leads to it: {decision}"


def every_try_ends_in_words(world: World) -> None:
    """A try ends with an exception of Airflow's or ours; what Airflow's own store raises is let through."""
    for instance in world.instances:
        for one in instance.tries:
            fine = one.error is None or isinstance(one.error, (AirflowException, Death))
            assert fine or "API server" in str(one.error), repr(one.error)


def everything_can_be_delivered(world: World) -> None:
    """From wherever a history has led, who does what the messages say gets every clip."""
    world.service.answer = "accepted"
    if world.take == "number":
        # Where every try is another clip, a person has no record to write into.
        world.take = "1"
    for instance in world.instances:
        world.nobody_is_sending()
        if world.place(instance) < len(world.rows):
            _is_delivered(world, instance)
            nothing_is_paid_that_nobody_asked_for(world)
            nothing_paid_is_forgotten(world)


def _is_delivered(world: World, instance: Instance) -> None:
    messages: list[str] = []
    world.clears(instance)
    for number in range(8):
        one = world.begins(instance)
        world.runs_to_the_end(instance, one)
        if one.deferral is not None:
            job = world.service.jobs[one.deferral.trigger.generation_id]  # type: ignore[attr-defined]
            job.status = "SUCCESS" if job.status == "IN_PROGRESS" else job.status
            world.runs_to_the_end(instance, world.resumes(instance))
        if instance.state == "success":
            job = world.service.jobs[instance.result["generation_id"]]
            said = one.log.text()
            # Before 3.3 nothing tells a clear in a run that goes on from a retry, where the task has lost retries.
            told_apart = AIRFLOW_V_3_3_PLUS or "differs" not in said
            meant = one.asked.prompt in {job.prompt, *world.judge.of(job.id).taken_for}
            assert meant or not told_apart, f"delivers {job.id} for {one.asked}: {said}"
            return
        messages.append(repr(instance.error))
        if not isinstance(instance.error, NotAcceptedYet):
            takes_the_way_out(world, instance, other=bool(number % 2))
    raise AssertionError("no way out leads to a delivery:\n" + "\n".join(messages))
