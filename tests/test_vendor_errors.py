"""Every documented error code of both vendors, as the emulator answers it, arrives as its own exception, and none of them is paid for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_provider_happyhorse.api.errors import (
    Ambiguous,
    InsufficientCredits,
    InvalidRequest,
    PaidAccessRequired,
    RateLimited,
    Rejected,
    ServiceError,
    ServiceFault,
    Unauthorized,
)
from airflow_provider_happyhorse.api.models import VideoRequest
from airflow_provider_happyhorse.hooks.happyhorse import HappyHorseHook
from tests.emulator_process import EmulatorProcess, ServiceName

VIDEO = {"prompt": "A cat", "duration": 5}
AI, APP = "happy-horse.ai", "happyhorse.app"

REFUSALS = [
    (AI, "nobody's", VIDEO, Unauthorized, 401, "unauthorized"),
    (AI, "sk-sd_poor", VIDEO, InsufficientCredits, 403, "insufficient_credits"),
    (AI, "sk-sd_free", {**VIDEO, "model": "doubao-seedance-2-0"}, PaidAccessRequired, 403, "paid_access_required"),
    (AI, "", {"generation_type": "image_to_video", **VIDEO}, InvalidRequest, 400, "validation_error"),
    (APP, "nobody's", VIDEO, Unauthorized, 401, "INVALID_API_KEY"),
    (APP, "sk-sd_poor", VIDEO, InsufficientCredits, 402, "INSUFFICIENT_CREDITS"),
    (APP, "", {**VIDEO, "duration": 99}, InvalidRequest, 400, "INVALID_DURATION"),
    (APP, "", {**VIDEO, "model": "other"}, InvalidRequest, 400, "INVALID_MODEL"),
    (APP, "", {**VIDEO, "prompt": "x" * 2501}, InvalidRequest, 400, "INVALID_PROMPT"),
]


@pytest.mark.parametrize(("service", "key", "fields", "expected", "status", "code"), REFUSALS)
def test_a_refusal_arrives_with_the_vendors_code_and_costs_nothing(
    connect: Callable[..., str],
    emulator: EmulatorProcess,
    service: ServiceName,
    key: str,
    fields: dict[str, object],
    expected: type[Rejected],
    status: int,
    code: str,
) -> None:
    hook = HappyHorseHook(connect(service, key=key or emulator.key))
    # Sent past our own checks: a refusal of theirs is what is asked for.
    call = hook.service.submit(VideoRequest.model_validate(fields))
    with pytest.raises(expected) as refused:
        hook.send(call)
    assert type(refused.value) is expected
    assert (refused.value.status, refused.value.code) == (status, code)
    assert len(refused.value.message) > 5
    assert emulator.state()["jobs"] == []


FAULTS = [
    (AI, "rate_limited", RateLimited, "rate_limit_exceeded"),
    (AI, "server_error", ServiceFault, "internal_error"),
    (AI, "bad_gateway", ServiceFault, "upstream_error"),
    (APP, "rate_limited", RateLimited, "RATE_LIMITED"),
    (APP, "server_error", ServiceFault, "INTERNAL_ERROR"),
]


@pytest.mark.parametrize(("service", "fault", "expected", "code"), FAULTS)
def test_a_fault_arrives_with_the_vendors_code(
    connect: Callable[..., str],
    emulator: EmulatorProcess,
    service: ServiceName,
    fault: str,
    expected: type[RateLimited | ServiceFault],
    code: str,
) -> None:
    hook = HappyHorseHook(connect(service))
    emulator.fault(fault, times=2)
    with pytest.raises(expected) as seen:
        hook.send(hook.service.get("some-id"), attempts=1)
    assert seen.value.code == code
    with pytest.raises(ServiceError) as paying:
        hook.submit(VIDEO)
    if expected is RateLimited:
        assert type(paying.value) is RateLimited
    else:
        assert type(paying.value) is Ambiguous
        assert type(paying.value.__cause__) is ServiceFault
    assert emulator.state()["jobs"] == []
