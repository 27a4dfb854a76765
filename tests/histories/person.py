"""A person on call, who does what the message of a stopped task says: literally, and knowing nothing else but what is at the service."""

from __future__ import annotations

import json
import re
from pathlib import Path

from airflow_provider_happyhorse.ledger.stores import KEY
from tests.histories.storage import Value
from tests.histories.world import Instance, World


def takes_the_way_out(world: World, instance: Instance, *, other: bool = False) -> None:
    """Do what the message of a stopped task says, and clear it.

    :param other: take the other way, where the message names two.
    """
    message, judge = instance.message, world.judge
    if (target := _step_to_add(message)) and target.exists():
        assert target not in instance.there, f"the message names a step that is there: {message}"
        # A later try has written and died without a word: the message is out of date, and whoever sees the file asks for another.
        world.tell(f"a person finds {target.parent.name}/{target.name} there already")
        world.clears(instance)
        return
    others = re.search(r"\(not ([\w, ]+), which this task has paid for", message)
    known = set(others[1].split(", ")) if others else set()
    words = [word for word in ("unprotected_retry", "ambiguous_submit", "failed_generation") if f"`{word}`" in message]
    if '"not_sent"' in message and not (other and words):
        clip = world.clip(instance.tries[-1])
        prompt = re.search(r"made then from the prompt '(.*?)'", message)
        in_doubt = [one for one in judge.decisions if (one.open or one.named) and (one.clip == clip or one.by.index == instance.index)]
        meant = [one for one in in_doubt if prompt and one.asked.prompt == prompt[1]]
        job = next((one.job for one in sorted(meant, key=lambda one: one.clip != clip) if one.job and one.job.id not in known), None)
        # The other way, where a video of this very request is known: to go on with that.
        literally = re.search(r'set (\{"state": "submitted", "generation_id": "\w+".*?\})' if other else "$^", message)
        literally = literally or re.search(r'set (\{"state": "not_sent".*?\})', message)
        says: Value = json.loads(literally[1]) if literally else {"state": "not_sent"}
        if says["state"] == "submitted":
            judge.of(says["generation_id"]).known = judge.of(says["generation_id"]).named = True
            judge.of(says["generation_id"]).taken_for.add(instance.tries[-1].asked.prompt)
        elif job and '"submitted"' in message:
            says = {"state": "submitted", "generation_id": job.id}
            judge.of(job.id).known = judge.of(job.id).named = True
            for one in meant:
                # What never arrived is not in doubt any more: the person takes another video for it.
                one.settled |= one.job is None and one.clip == clip
        else:
            judge.let_go.add(instance.index)
            for one in meant:
                one.settled = True
        _writes(world, instance, says)
    elif words:
        world.words |= {words[0]}
        world.tell(f"a person allows {words[0]}")
    else:
        assert "clear this task" in message, f"no way out: {message}"
    world.clears(instance)


def _writes(world: World, instance: Instance, says: Value) -> None:
    message = instance.message
    if target := _step_to_add(message):
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(says))
        world.tell(f"a person writes {says} as {target.parent.name}/{target.name}")
        return
    assert f"state entry {KEY!r}" in message, f"it does not say where: {message}"
    before = json.loads(world.entries[instance.index])
    world.entries[instance.index] = json.dumps({**before, **says})
    world.tell(f"a person writes {says} into the entry of {instance.index}")


def _step_to_add(message: str) -> Path | None:
    where = re.search(r"the ledger folder file://(\S+) .* add (\d{6}\.json)", message)
    return Path(where[1].replace("%20", " "), where[2]) if where else None
