"""Where a task process dies, or freezes, on request. Imported by the generated DAG file, so it runs in Airflow; the product has no seam.

A run's conf names the steps: ``{"acts": {"<map index>/<try number>": ["<step>", "kill" | "freeze" | "hold"]}, "signs": "<file>"}``, with
``first`` for the first try that comes so far: on a busy machine, Airflow may have given up one before. What
was done is written to the file ``signs``, a JSON object per line, before it is done: a scenario whose kill never happened proves nothing.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import signal
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

#: Every step of a clip's way, in its order.
STEPS = (
    "start",
    "before_intent",
    "after_intent",
    "sending",
    "after_answer",
    "after_id",
    "before_defer",
    "complete",
    "before_publish",
    "after_publish",
    "after_delivered",
)
#: Between the writes of a ledger that is made of several (a ``ledger_path``: under the map index and under the name).
STEPS_WITHIN = ("within_intent", "within_id", "within_delivered")

_running: dict[str, Any] = {}


def remember(context: Any) -> None:
    """Note which try runs in this process; the operators' ``pre_execute``."""
    ti = context["ti"]
    conf = context["dag_run"].conf or {}
    map_index = -1 if ti.map_index is None else ti.map_index
    _running.update(map_index=map_index, try_number=ti.try_number, conf=conf)
    reached("start")


def reached(step: str) -> None:
    """Do what the run's conf wants at this step."""
    if "conf" not in _running:
        return
    here = {
        "step": step,
        "map_index": _running["map_index"],
        "try_number": _running["try_number"],
        "pid": os.getpid(),
        "ppid": os.getppid(),
    }
    acts_wanted, index = _running["conf"].get("acts", {}), here["map_index"]
    wanted, act = acts_wanted.get(f"{index}/{here['try_number']}") or acts_wanted.get(f"{index}/first") or ("", "")
    acts = wanted == step and not (f"{index}/first" in acts_wanted and _has_acted(index))
    if acts or step in ("start", "sending"):
        _sign({**here, "act": act if acts else ""})
    if not acts:
        return
    match act:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "freeze":
            # The supervisor first: it would go on telling Airflow that the task is alive.
            os.kill(os.getppid(), signal.SIGSTOP)
            os.kill(os.getpid(), signal.SIGSTOP)
        case "hold":
            os.kill(os.getpid(), signal.SIGSTOP)
        case _:
            raise ValueError(f"no such act: {act!r}")


def _has_acted(map_index: int) -> bool:
    signs = Path(_running["conf"]["signs"])
    read = [json.loads(line) for line in signs.read_text().splitlines()] if signs.exists() else []
    return any(sign["act"] and sign["map_index"] == map_index for sign in read)


def _sign(sign: dict[str, Any]) -> None:
    with Path(_running["conf"]["signs"]).open("a") as signs:
        signs.write(json.dumps(sign) + "\n")
        signs.flush()
        os.fsync(signs.fileno())


def install() -> None:
    """Put a step before or after what the product does; a name that is gone is an error of this file, and of the DAG's import."""
    from airflow_provider_happyhorse.operators import base, publish
    from airflow_provider_happyhorse.transports.sync import SyncTransport

    ledgers = _ledgers()
    if not ledgers:
        raise RuntimeError("there is no class with read, write and where in airflow_provider_happyhorse.ledger")
    for ledger in ledgers:
        _around_writes(ledger)
    _around(SyncTransport, "send", before=_before_send, after=_after_send)
    operator = base.HappyHorseGenerateOperator
    _around(operator, "defer", before=lambda *_, **__: reached("before_defer"))
    _around(operator, "execute_complete", before=lambda *_, **__: reached("complete"))
    _around(publish, "publish_result", before=lambda *_, **__: reached("before_publish"), after=lambda *_, **__: reached("after_publish"))


def _ledgers() -> list[type]:
    import airflow_provider_happyhorse.ledger as package

    found: dict[str, type] = {}
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        for kind in vars(importlib.import_module(module.name)).values():
            own = isinstance(kind, type) and kind.__module__ == module.name and not getattr(kind, "_is_protocol", False)
            if own and all(hasattr(kind, name) for name in ("read", "write", "where")):
                found[f"{module.name}.{kind.__name__}"] = kind
    return list(found.values())


def _around_writes(ledger: Any) -> None:
    """Put steps around a ledger's ``write``, and between the writes of a ledger that is made of several."""
    real = ledger.write

    @wraps(real)
    def wrapped(self: Any, record: Any, *args: Any, **kwargs: Any) -> Any:
        state, outermost = record.state.value, not _running.get("writing")
        if outermost and state == "intent":
            reached("before_intent")
        _running["writing"] = True
        try:
            answer = real(self, record, *args, **kwargs)
        finally:
            _running["writing"] = not outermost
        if step := {"intent": "intent", "submitted": "id", "delivered": "delivered"}.get(state):
            reached(f"{'after' if outermost else 'within'}_{step}")
        return answer

    if not getattr(real, "chaos", False):
        wrapped.chaos = True  # type: ignore[attr-defined]  # this process may parse the file twice
        ledger.write = wrapped


def _before_send(transport: Any, call: Any, **_: Any) -> None:
    if call.request.pays:
        reached("sending")


def _after_send(transport: Any, call: Any, **_: Any) -> None:
    if call.request.pays:
        reached("after_answer")


def _nothing(*_: Any, **__: Any) -> None:
    pass


def _around(owner: Any, name: str, *, before: Callable[..., object] = _nothing, after: Callable[..., object] = _nothing) -> None:
    real = getattr(owner, name)
    if getattr(real, "chaos", False):
        return

    @wraps(real)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        before(*args, **kwargs)
        answer = real(*args, **kwargs)
        after(*args, **kwargs)
        return answer

    wrapped.chaos = True  # type: ignore[attr-defined]  # this process may parse the file twice
    setattr(owner, name, wrapped)
