"""What an author asks for, read and checked: from the operator's arguments to a clip that may be submitted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from airflow_provider_happyhorse.api.pricing import Estimate
from airflow_provider_happyhorse.api.service import Service, services
from airflow_provider_happyhorse.api.table_values import BESIDES, is_unset, number
from airflow_provider_happyhorse.ledger.decision import PAY_AGAIN_WORDS, PayAgain
from airflow_provider_happyhorse.ledger.record import unnamed
from airflow_provider_happyhorse.operators.literals import is_literal, literal_fields

if TYPE_CHECKING:
    from airflow_provider_happyhorse.api.generation import Kind
    from airflow_provider_happyhorse.api.models import GenerationRequest
    from airflow_provider_happyhorse.hooks.settings import ConnectionSettings

#: Fields without which a request may be refused; they may still come from a decorated function.
PENDING_OF: Mapping[str, tuple[str, ...]] = {"video": ("prompt", "image_url", "multi_prompt", "multi_shots"), "image": ("prompt",)}
#: The database columns and file names that a clip's name ends up in.
LONGEST_NAME = 200
#: What a data frame makes of a whole number when another cell of the column is empty.
_WHOLE_FLOAT = re.compile(r"-?(?:0|[1-9][0-9]*)\.0")


@dataclass(frozen=True)
class Asked:
    """The operator's arguments as they are: before rendering at parse time, after it when the task runs."""

    prompt: Any
    request: Any
    name: Any
    take: Any
    max_credits: Any


@dataclass(frozen=True)
class Identity:
    """Which clip of the run it is, known before anything else of it.

    :param name: as the author calls it, else the task's id and map index.
    :param named: the author gave the name, or the task is not mapped.
    :param take: ``""`` unless another take of the same request is asked for.
    """

    name: str
    named: bool
    take: str


@dataclass(frozen=True)
class Clip:
    """One video or image an author asks for, checked against the service it goes to.

    :param name: the clip's name.
    :param request: the vendor's fields.
    :param estimate: what the price table makes of it.
    :param max_credits: the cap that applies, None for none.
    """

    name: str
    request: GenerationRequest
    estimate: Estimate
    max_credits: int | None

    def prompt(self) -> str:
        """Return the prompt, of several shots the first's."""
        given = self.request.given()
        shots = given.get("multi_prompt") or [{}]
        return str(given.get("prompt") or shots[0].get("prompt") or "")

    def facts(self) -> dict[str, Any]:
        """Return what the result says of the request."""
        given = self.request.given()
        return {key: given.get(key) for key in ("model", "duration", "aspect_ratio")} | {"credits_estimated": self.estimate.credits}


def read_identity(asked: Asked, *, task_id: str, map_index: int) -> Identity:
    """Return which clip it is; a name that cannot be used counts as none here and is refused by :func:`read_clip`."""
    besides = _merged(asked)[1]
    name = read_name(besides["name"])[0]
    return Identity(name=name or unnamed(task_id, map_index), named=bool(name) or map_index < 0, take=read_take(besides["take"]))


def read_clip(asked: Asked, *, kind: Kind, name: str, settings: ConnectionSettings) -> tuple[Clip | None, list[str]]:
    """Return the clip, or None and everything wrong with it, in the author's parameter names.

    :param name: the clip's name, see :func:`read_identity`.
    :param settings: of the connection, whose cap and prices apply; of two caps the lower.
    """
    fields, besides, problems = _merged(asked)
    request, refused = _check(kind, fields, settings.service, frozenset())
    cap, cap_problems = _read_cap(besides["max_credits"])
    problems += refused + read_name(besides["name"])[1] + cap_problems
    if request is None or problems:
        return None, problems
    caps = [limit for limit in (cap, settings.max_credits) if limit is not None]
    estimate = settings.service.estimate(request, settings.prices)
    return Clip(name=name, request=request, estimate=estimate, max_credits=min(caps, default=None)), []


def problems_at_parse_time(asked: Asked, kind: Kind) -> list[str]:
    """Return what is certainly wrong in the values that are final already; the service is not known, so it is what both would refuse."""
    problems: list[str] = []
    if is_literal(asked.prompt) and asked.prompt is not None and (not isinstance(asked.prompt, str) or is_unset(asked.prompt)):
        problems.append(f"`prompt` must be text and not blank, not {asked.prompt!r}")
    if is_literal(asked.name):
        problems += read_name(asked.name)[1]
    if is_literal(asked.max_credits):
        problems += _read_cap(asked.max_credits)[1]
    if asked.request is None and asked.prompt is None:
        return [*problems, "give `prompt`, or `request` with at least a prompt"]
    if asked.request is not None and not isinstance(asked.request, Mapping) and is_literal(asked.request):
        return [*problems, f"`request` must be a mapping of vendor fields, not {type(asked.request).__name__}"]
    split = literal_fields(asked.request) if asked.request is not None else ({}, frozenset())
    if split is None:
        return problems
    fields, pending = split
    if asked.prompt is not None and ("prompt" in pending or not is_unset(fields.get("prompt"))):
        problems.append("`prompt` is given twice: as `prompt` and inside `request`")
    if asked.prompt is not None:
        pending |= {"prompt"}
    given = {key: value for key, value in fields.items() if key not in BESIDES}
    found = {name: _check(kind, given, service, pending)[1] for name, service in services().items()}
    if not all(found.values()):
        return problems
    # The service that is meant is the one that knows the fields; where both know as many, each is told.
    foreign = {name: sum(f"{name} has no" in problem for problem in said) for name, said in found.items()}
    meant = [name for name in found if foreign[name] == min(foreign.values())]
    if len(meant) == 1 or found[meant[0]] == found[meant[1]]:
        return problems + found[meant[0]]
    return problems + [f"for {name}: {'; '.join(found[name])}" for name in meant]


def problems_of_fields(asked: Asked, *, kind: Kind, service: Service) -> list[str]:
    """Return what a service refuses of the fields that are given, whatever may still come; a missing one is no problem yet."""
    fields = _merged(asked)[0]
    return _check(kind, fields, service, frozenset(PENDING_OF[kind]))[1]


def read_name(name: Any) -> tuple[str, list[str]]:
    """Return the clip's name, ``""`` for none, and what is wrong with it; a number in it is read as in a take."""
    if is_unset(name):
        return "", []
    if isinstance(name, bool) or not isinstance(name, (str, int, float, Decimal, date, UUID)):
        return "", [f"`name` must be text, not {name!r}"]
    shown = _as_text(name)
    if len(shown) > LONGEST_NAME or not shown.isprintable():
        return "", [f"`name` must be at most {LONGEST_NAME} printable characters, not {shown[:40]!r}"]
    return shown, []


def read_take(take: Any) -> str:
    """Return the take as text, ``""`` for none: a table that has an empty cell elsewhere tells 2 as 2.0."""
    if is_unset(take):
        return ""
    return _as_text(take)


def _as_text(cell: Any) -> str:
    if isinstance(cell, str):
        # A template makes text of the number.
        return cell.strip().removesuffix(".0") if _WHOLE_FLOAT.fullmatch(cell.strip()) else cell.strip()
    try:
        return str(number(cell)) if isinstance(cell, (float, Decimal)) else str(cell).strip()
    except ValueError:  # beyond all numbers that we send
        return str(cell)


def read_pay_again_on(words: Any) -> tuple[frozenset[PayAgain], list[str]]:
    """Return the words of ``pay_again_on``: a sequence, or text with commas as a rendered Variable gives it."""
    if words is not None and not isinstance(words, (str, list, tuple, set, frozenset)):
        return frozenset(), [f"`pay_again_on` must be a list of words, or one text with commas, not {words!r}"]
    given: Iterable[Any] = words.strip("()[] ").split(",") if isinstance(words, str) else words or ()
    read = {str(word).strip().strip("'\"") for word in given} - {""}
    unknown = sorted(read - set(PAY_AGAIN_WORDS))
    problem = f"`pay_again_on` knows {', '.join(PAY_AGAIN_WORDS)}; not {', '.join(unknown)}"
    return frozenset(cast("set[PayAgain]", read - set(unknown))), [problem] if unknown else []


def _check(kind: Kind, fields: Mapping[str, Any], service: Service, pending: frozenset[str]) -> tuple[GenerationRequest | None, list[str]]:
    # pydantic is loaded here, when there is a request to check, and not by every DAG file that imports an operator.
    from airflow_provider_happyhorse.api.models import REQUEST_OF
    from airflow_provider_happyhorse.api.reading import check_request

    return check_request(fields, REQUEST_OF[kind], lambda request, unknown: service.check(request, pending=unknown), pending)


def _merged(asked: Asked) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """Return the vendor fields, what goes besides them, and what is given twice."""
    problems: list[str] = []
    besides: dict[str, Any] = {"name": asked.name, "take": asked.take, "max_credits": asked.max_credits}
    if asked.request is not None and not isinstance(asked.request, Mapping):
        problems.append(f"`request` must be a mapping of vendor fields, not {type(asked.request).__name__}")
    fields = dict(asked.request) if isinstance(asked.request, Mapping) else {}
    for key in BESIDES:
        inside = fields.pop(key, None)
        if is_unset(inside):
            continue
        if not is_unset(besides[key]):
            problems.append(f"`{key}` is given twice: as `{key}` and inside `request`")
        besides[key] = inside
    if asked.prompt is not None:
        if not is_unset(fields.get("prompt")):
            problems.append("`prompt` is given twice: as `prompt` and inside `request`")
        fields["prompt"] = asked.prompt
    return fields, besides, problems


def _read_cap(cap: Any) -> tuple[int | None, list[str]]:
    if cap is None:
        return None, []
    if is_unset(cap):
        # A Variable that somebody has emptied must not lift the cap.
        return None, [f"`max_credits` is empty ({cap!r}); leave it out where there is no cap"]
    try:
        read = number(cap)
    except ValueError as problem:
        return None, [f"`max_credits` {problem}"]
    if read < 0:
        return None, [f"`max_credits` must be 0 or more, not {read}"]
    return int(read), []
