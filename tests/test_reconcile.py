"""Finding an ambiguous submission in the service's list: adopted only when everything agrees."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_happyhorse.api.generation import Generation, GenerationState
from airflow_provider_happyhorse.ledger.reconcile import CLOCK_MARGIN, Findings, SendWindow, find, may_start

T0 = 1_800_000_000.0
WINDOW = SendWindow(T0, T0 + 60)
SENT = {"prompt": "A cat", "duration": 5, "aspect_ratio": "16:9"}


def row(ident: str, at: float | str, **told: Any) -> Generation:
    request = {**SENT, **told}
    created = at if isinstance(at, str) else str(at)
    return Generation(ident, GenerationState.IN_PROGRESS, created_at=created, request=request, raw={"video_id": ident})


OLDER = row("older", T0 - 600, prompt="Something else")


def look(*rows: Generation, ahead: float = 0.0, whole: bool = False) -> Findings:
    return find(rows, sent=SENT, window=WINDOW, ahead=ahead, whole=whole)


def ids(findings: Findings) -> list[str]:
    return [candidate.generation_id for candidate in findings.candidates]


def test_the_only_one_that_echoes_everything_within_the_window_is_certain() -> None:
    findings = look(row("mine", T0 + 3), OLDER)
    assert findings.certain is not None
    assert findings.certain.generation_id == "mine"
    assert findings.why_not == ""


@pytest.mark.parametrize("at", ["2027-01-15T08:00:03Z", "2027-01-15T08:00:03", "2027-01-15T09:00:03+01:00", "1800000003", "1800000003000"])
def test_times_are_read_as_services_write_them(at: str) -> None:
    assert look(row("mine", at), OLDER).certain is not None


def test_a_sibling_with_the_same_request_makes_it_uncertain_and_both_are_named() -> None:
    findings = look(row("sibling", T0 + 9), row("mine", T0 + 3), OLDER)
    assert findings.certain is None
    assert ids(findings) == ["sibling", "mine"]
    assert "2 generations fit" in findings.why_not


def test_another_runs_video_with_the_same_prompt_is_out_of_the_window() -> None:
    assert ids(look(row("yesterday", T0 - 86400), row("later", T0 + 600))) == []


@pytest.mark.parametrize(("name", "value"), [("prompt", "A dog"), ("duration", 10), ("aspect_ratio", "9:16")])
def test_one_field_that_differs_excludes_it(name: str, value: object) -> None:
    assert ids(look(row("other", T0 + 3, **{name: value}), OLDER)) == []


def test_a_number_told_as_text_is_the_same_number() -> None:
    assert look(row("mine", T0 + 3, duration="5"), OLDER).certain is not None


def test_a_row_that_does_not_echo_a_field_is_named_and_not_adopted() -> None:
    bare = Generation("bare", GenerationState.IN_PROGRESS, created_at=str(T0 + 3), request={"prompt": "A cat"}, raw={})
    findings = look(bare, OLDER)
    assert findings.certain is None
    assert ids(findings) == ["bare"]
    assert "does not echo duration, aspect_ratio" in findings.why_not


def test_a_listing_that_does_not_reach_past_the_window_proves_nothing() -> None:
    assert look(row("mine", T0 + 3)).certain is None
    assert look(row("mine", T0 + 3), whole=True).certain is not None


def test_an_old_row_proves_nothing_unless_the_newest_come_first() -> None:
    assert look(OLDER, row("mine", T0 + 3)).certain is None
    assert look(OLDER, row("mine", T0 + 3), whole=True).certain is not None


def test_a_picture_told_by_the_services_own_copy_is_a_candidate_and_not_certain() -> None:
    mine = row("mine", T0 + 3, image_url="https://cdn.happy-horse.ai/copy.png")
    findings = find([mine, OLDER], sent={**SENT, "image_url": "https://brand.example/cup.png"}, window=WINDOW, ahead=0.0, whole=True)
    assert ids(findings) == ["mine"]
    assert findings.certain is None
    assert "does not echo image_url" in findings.why_not


def test_a_row_without_a_time_proves_nothing() -> None:
    findings = look(row("mine", T0 + 3), row("undated", ""), OLDER)
    assert findings.certain is None
    assert "no readable created_at" in findings.why_not


def test_a_stale_or_empty_list_proves_nothing() -> None:
    assert look().certain is None
    assert look(whole=True).why_not == "no generation in the list fits"


@pytest.mark.parametrize("ahead", [-3600.0, -30.0, 0.0, 45.0, 7200.0])
def test_the_services_clock_may_be_wrong(ahead: float) -> None:
    rows = row("mine", T0 + 3 + ahead), row("older", T0 - 600 + ahead, prompt="x")
    assert look(*rows, ahead=ahead).certain is not None
    if abs(ahead) > 60 + 2 * CLOCK_MARGIN:
        assert look(*rows, ahead=0.0).certain is None


def test_it_starts_only_when_nobody_can_be_sending_any_more() -> None:
    assert not may_start(WINDOW, now=T0 + 70, margin=15)
    assert may_start(WINDOW, now=T0 + 75, margin=15)


@given(
    st.lists(
        st.builds(
            row,
            st.text(min_size=1, max_size=4),
            st.one_of(st.floats(T0 - 100, T0 + 200), st.text(max_size=8)),
            prompt=st.sampled_from(["A cat", "A dog", None, 3]),
        ),
        max_size=6,
    ),
    st.booleans(),
    st.floats(-10, 10),
)
def test_whatever_the_list_says_only_a_single_full_echo_in_the_window_is_adopted(rows: list[Generation], whole: bool, ahead: float) -> None:
    findings = find(rows, sent=SENT, window=WINDOW, ahead=ahead, whole=whole)
    if findings.certain is None:
        assert findings.why_not
        return
    assert list(findings.candidates) == [findings.certain]
    assert all(findings.certain.request[name] == value for name, value in SENT.items())
