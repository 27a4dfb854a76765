"""The judge of the chaos suite says no where it has to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.chaos.verdict import ClipEvidence, Evidence, Row, judge, markdown

STOPPED = (
    "error Task failed with exception AmbiguousSubmission: [clip] a submission was about to be sent. Look there: if it exists, "
    'set "state": "submitted" and clear this task, which pays nothing; if not, clear this task, which pays 25 credits'
)
DELIVERED = "[clip] v1 submitted, about 25 credits committed; a retry or a kill cannot pay again\n[clip] v1 succeeded, 25 credits"
CLIP = ClipEvidence(name="clip", state="success", tries=1, logs=(DELIVERED,), delivered="v1", asks="A kettle.", shows="A kettle.")
EVIDENCE = Evidence(scenario="a scenario", asked=1, paid=("v1",), clips=(CLIP,), prompts={"v1": "A kettle."})
CUP_LOG = DELIVERED.replace("[clip]", "[cup]").replace("v1", "v2")
CUP = ClipEvidence(name="cup", state="success", tries=1, logs=(CUP_LOG,), delivered="v2", asks="A cup.", shows="A cup.")
BOTH = replace(EVIDENCE, asked=2, paid=("v1", "v2"), clips=(CLIP, CUP), prompts={"v1": "A kettle.", "v2": "A cup."})
STOP = replace(EVIDENCE, clips=(replace(CLIP, state="failed", tries=2, logs=("", STOPPED), delivered="", shows=""),))
MOVED = (
    "error Task failed with exception SubmissionStopped: [clip] this map index was the clip 'cup'. Nothing was submitted. To submit it "
    '(25 credits), set {"state": "not_sent"} in the entry and clear this task'
)
ELSEWHERE = (
    "error Task failed with exception SubmissionStopped: [clip] this very request was submitted as v1 under another map index. Look for it "
    "and publish it by its id, or put `unprotected_retry` into pay_again_on to pay 25 credits"
)


def test_one_paid_and_delivered_is_right() -> None:
    row = judge(EVIDENCE, may_stop=False)
    assert row == Row("a scenario", tries=1, asked=1, paid=1, delivered=1, verdict="1 delivered")


def test_two_payments_for_one_video_are_not() -> None:
    assert "PAID TWICE: 2 for 1" in judge(replace(EVIDENCE, paid=("v1", "v2")), may_stop=True).problems


def test_a_paid_video_that_nobody_has_is_lost() -> None:
    silent = replace(CLIP, state="failed", delivered="")
    assert "LOST: v1" in judge(replace(EVIDENCE, clips=(silent,)), may_stop=True).problems


def test_another_video_than_the_paid_one_is_not_a_delivery() -> None:
    assert "LOST: v1" in judge(replace(EVIDENCE, clips=(replace(CLIP, delivered="v9"),)), may_stop=False).problems


def test_another_clips_video_is_as_bad_as_a_lost_one() -> None:
    assert judge(BOTH, may_stop=False).problems == ()
    crossed = (replace(CLIP, delivered="v2", shows="A cup."), replace(CUP, delivered="v1", shows="A kettle."))
    problems = judge(replace(BOTH, clips=crossed), may_stop=True).problems
    assert "ANOTHER CLIP'S VIDEO: clip delivered v2 (A cup.), cup delivered v1 (A kettle.)" in problems
    assert "LOST: v1, v2" in problems


def test_a_file_that_shows_something_else_than_its_id_says_is_another_clips_video() -> None:
    mixed_up = replace(CLIP, shows="A cup.")
    assert "ANOTHER CLIP'S VIDEO: clip delivered v1 (A cup.)" in judge(replace(BOTH, clips=(mixed_up, CUP)), may_stop=True).problems
    strange = replace(CLIP, shows="")
    assert judge(replace(EVIDENCE, clips=(strange,)), may_stop=True).problems[0].startswith("ANOTHER CLIP'S VIDEO: clip delivered v1")


def test_two_clips_of_one_prompt_do_not_share_a_video() -> None:
    twins = replace(BOTH, clips=(CLIP, replace(CLIP, name="twin")), prompts={"v1": "A kettle.", "v2": "A kettle."})
    problems = judge(twins, may_stop=True).problems
    assert "ANOTHER CLIP'S VIDEO: clip delivered v1, and so did another clip, twin delivered v1, and so did another clip" in problems
    assert "LOST: v2" in problems


def test_a_video_that_is_no_longer_asked_for_is_not_lost_and_is_no_delivery() -> None:
    fixed = replace(CLIP, delivered="v2", asks="A cup.", shows="A cup.", logs=(DELIVERED.replace("v1", "v2"),))
    evidence = replace(BOTH, clips=(fixed,), withdrawn=("A kettle.",))
    assert judge(evidence, may_stop=False, delivers=1) == Row(
        "a scenario", tries=1, asked=2, paid=2, delivered=1, verdict="1 delivered, 1 no longer asked for"
    )
    old = replace(fixed, delivered="v1", shows="A kettle.")
    problems = judge(replace(evidence, clips=(old,)), may_stop=True, delivers=1).problems
    assert "ANOTHER CLIP'S VIDEO: clip delivered v1 (A kettle.)" in problems


def test_one_video_twice_and_another_one_never_are_two_payments_for_one() -> None:
    evidence = replace(BOTH, clips=(CLIP, replace(CUP, state="failed", delivered="", logs=(MOVED.replace("[clip]", "[cup]"),))))
    twice = replace(evidence, prompts={"v1": "A kettle.", "v2": "A kettle."})
    assert judge(evidence, may_stop=True).problems == ()
    assert judge(twice, may_stop=True).problems == ("PAID TWICE: 1 more of 'A kettle.'",)


def test_a_loud_stop_is_right_where_the_truth_cannot_be_known_and_nowhere_else() -> None:
    assert judge(STOP, may_stop=True).problems == ()
    assert judge(STOP, may_stop=True).verdict == "1 stopped, way out named"
    assert "stopped without need: clip" in judge(STOP, may_stop=False).problems


@pytest.mark.parametrize("message", [MOVED, ELSEWHERE])
def test_what_it_costs_may_stand_before_the_way_out_and_the_way_out_may_be_to_publish(message: str) -> None:
    stopped = replace(STOP, clips=(replace(STOP.clips[0], logs=("", message)),))
    assert judge(stopped, may_stop=True).verdict == "1 stopped, way out named"


def test_one_stop_does_not_excuse_two_clips() -> None:
    idle = replace(CUP, state="failed", delivered="", shows="")
    problems = judge(replace(STOP, asked=2, clips=(*STOP.clips, idle)), may_stop=True).problems
    assert problems == ("delivered 0 of 2, 1 stopped",)


def test_one_stop_does_not_account_for_two_paid_videos() -> None:
    assert "LOST: v1, v2" in judge(replace(STOP, asked=2, paid=("v1", "v2")), may_stop=True).problems


def test_a_stop_without_a_way_out_is_not_loud() -> None:
    mute = replace(STOP.clips[0], logs=("", "AmbiguousSubmission: [clip] who knows"))
    assert "LOST: v1" in judge(replace(STOP, clips=(mute,)), may_stop=True).problems


def test_a_clip_that_never_arrives_is_missed_although_nothing_was_paid() -> None:
    idle = replace(CLIP, state="failed", delivered="")
    assert "delivered 0 of 1" in judge(replace(EVIDENCE, paid=(), clips=(idle,)), may_stop=False).problems


def test_a_clip_that_has_not_ended_is_a_problem_and_not_a_loss() -> None:
    waiting = replace(CLIP, state="deferred", delivered="")
    problems = judge(replace(EVIDENCE, clips=(waiting,)), may_stop=True).problems
    assert problems == ("clip has not ended (deferred)", "delivered 0 of 1")


def test_a_failed_generation_has_to_be_said() -> None:
    said = "GenerationFailed: [clip] v1 failed at the service: moderation; it cost 25 credits. A retry does not pay again"
    failed = replace(EVIDENCE, failed=frozenset({"v1"}), clips=(replace(CLIP, state="failed", delivered="", logs=(said,)),))
    assert judge(failed, may_stop=False, delivers=0).problems == ()
    unsaid = replace(failed, clips=(replace(failed.clips[0], logs=("[clip] 25 credits; A retry does not pay again",)),))
    assert judge(unsaid, may_stop=False, delivers=0).problems == ("LOST: v1",)


@pytest.mark.parametrize(
    ("without", "missing"),
    [("[clip]", "the clip's name"), ("v1", "the id v1"), ("credits", "the credits"), ("cannot pay again", "what happens next")],
)
def test_the_reader_of_the_last_log_misses_nothing(without: str, missing: str) -> None:
    log = DELIVERED.replace(without, "...")
    assert judge(replace(EVIDENCE, clips=(replace(CLIP, logs=(DELIVERED, log)),)), may_stop=False).untold == (f"{missing} (clip)",)


def test_a_row_that_cannot_be_sent_fails_under_its_name() -> None:
    row = ClipEvidence(name="bad", state="failed", tries=1, logs=("InvalidArguments: [bad] `duration` is -5. Nothing was submitted",))
    both = replace(EVIDENCE, clips=(CLIP, row), unpaid_rows=("bad",))
    assert judge(both, may_stop=False) == Row("a scenario", tries=2, asked=1, paid=1, delivered=1, verdict="1 delivered")
    nameless = replace(row, logs=("InvalidArguments: `duration` is -5. Nothing was submitted",))
    assert judge(replace(both, clips=(CLIP, nameless)), may_stop=False).untold == ("which row is wrong (bad)",)


def test_the_scenario_that_was_not_played_to_its_end_fails() -> None:
    assert judge(replace(EVIDENCE, trouble="not deferred within 90 s"), may_stop=True).problems == ("not deferred within 90 s",)


def test_the_table_is_markdown() -> None:
    assert markdown([judge(EVIDENCE, may_stop=False)]).splitlines()[-1] == "| a scenario | 1 | 1 | 1 | 1 | 1 delivered |"
