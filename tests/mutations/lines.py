"""The lines that keep the order of the ledger (intent, POST, id, delivery) and of its uploads, and the test that fails without each."""

from __future__ import annotations

from dataclasses import dataclass

_PAYING, _PATH = "tests/operators/test_paying_once.py", "tests/operators/test_ledger_path.py"
_STEPS, _LIFE, _STORES = "tests/ledger_path/test_path.py", "tests/operators/test_lifecycle.py", "tests/ledger/test_stores.py"
_CLIP, _UPLOADS = "tests/ledger_path/test_clip.py", "tests/operators/test_uploads.py::TestWithALedgerPath"


@dataclass(frozen=True)
class Line:
    """A line whose removal a test notices.

    :param keeps: what it is there for.
    :param file: below the package.
    :param text: the line or lines, exactly once in the file.
    :param instead: what is there without it; the indentation of ``text`` is added.
    :param test: the node id of the test that then fails.
    """

    keeps: str
    file: str
    text: str
    instead: str
    test: str


LINES = (
    Line(
        "the intent is written before the POST",
        "operators/submission.py",
        'self._write(RecordState.INTENT, detail="", facts=self.facts(), sent=sent)',
        'self._record = self._record.step(RecordState.INTENT, at=_now(), detail="", facts=self.facts(), sent=sent)',
        f"{_PAYING}::TestTheRecord::test_is_an_intent_before_the_post_and_the_id_right_after",
    ),
    Line(
        "no POST unless the intent is written",
        "operators/submission.py",
        'raise NotAcceptedYet(f"[{self._clip.name}] not submitted, nothing was paid: {problem}; a retry looks again") from problem',
        "self._log.warning(str(problem))",
        f"{_PATH}::TestThePathItself::test_an_intent_that_cannot_be_written_sends_nothing",
    ),
    Line(
        "an intent that became old before its POST is not sent",
        "operators/submission.py",
        'raise NotAcceptedYet(f"[{self._clip.name}] not submitted: {frozen:.0f} s went by between intent and sending; a retry looks")',
        "pass",
        f"{_PATH}::test_a_try_that_was_frozen_between_intent_and_post_does_not_send",
    ),
    Line(
        "what was not sent because it became old is noted as that",
        "operators/submission.py",
        'self._take_back(f"frozen for {frozen:.0f} s before it was sent")',
        "pass",
        f"{_PATH}::test_a_try_that_was_frozen_between_intent_and_post_does_not_send",
    ),
    Line(
        "what nobody has received is noted as that",
        "operators/submission.py",
        "except (Unreachable, RateLimited) as error:\n                self._take_back(str(error))",
        "except (Unreachable, RateLimited):",
        f"{_PAYING}::TestWhatTheServiceAnswers::test_nobody_there_is_no_submission",
    ),
    Line(
        "what the service has refused is noted as that",
        "operators/submission.py",
        "except Rejected as error:\n                self._take_back(str(error))",
        "except Rejected as error:",
        f"{_PAYING}::TestWhatTheServiceAnswers::test_a_refusal_costs_nothing_and_stops_the_retries[sk-wrong-happy-horse.ai]",
    ),
    Line(
        "what may have been accepted is noted as that",
        "operators/submission.py",
        'self._keep(RecordState.AMBIGUOUS, detail=shown, sent={**self._record.sent, "closed": time.time()})',
        "pass",
        f"{_PAYING}::TestWhatTheServiceAnswers::test_what_proves_nothing_is_never_sent_again[happyhorse.app-reset_before-0]",
    ),
    Line(
        "the id is written right after the answer",
        "operators/submission.py",
        'kept = self._keep(RecordState.SUBMITTED, detail="", facts=facts, sent={})',
        'kept = bool(self._record)\nself._record = self._record.step(RecordState.SUBMITTED, at=_now(), detail="", facts=facts, sent={})',
        f"{_PAYING}::TestACrash::test_after_the_id_loses_nothing",
    ),
    Line(
        "the id is written again when that fails",
        "operators/submission.py",
        "WRITE_TRIES, WRITE_DELAY = 5, 1.0",
        "WRITE_TRIES, WRITE_DELAY = 1, 1.0",
        f"{_PAYING}::TestTheRecord::test_a_store_that_comes_back_in_time_keeps_the_id",
    ),
    Line(
        "an id that cannot be written is told",
        "operators/submission.py",
        'paid = f"{self._record.generation_id} is submitted and paid for" if self._record.generation_id else f"it is {state}"',
        'paid = f"it is {state}"',
        f"{_PAYING}::TestTheRecord::test_a_task_whose_id_cannot_be_written_says_it_and_goes_on",
    ),
    Line(
        "a kill waits between the POST and the id",
        "operators/submission.py",
        "with held_signals():",
        "if call:",
        f"{_LIFE}::TestAKill::test_in_the_middle_of_the_post_waits_until_the_id_is_kept",
    ),
    Line(
        "what was paid for before stays beside what is submitted now",
        "operators/submission.py",
        "others={} if previous is None else {key: facts for key, facts in previous.paid().items() if key != fingerprint},",
        "others={},",
        f"{_PAYING}::TestAClear::test_with_a_changed_request_pays_once_more_and_then_never_again",
    ),
    Line(
        "who goes on with a generation renews the stamp",
        "operators/base.py",
        "attempt.ledger.write(renewed)",
        "pass",
        f"{_PAYING}::TestAClear::test_that_goes_on_is_over_with_it",
    ),
    Line(
        "the delivery is written",
        "operators/ending.py",
        "self._books(context, known).delivered(known)",
        "pass",
        f"{_PAYING}::TestAClear::test_of_the_same_request_pays_nothing_and_asks_nothing",
    ),
    Line(
        "the failure is written",
        "operators/ending.py",
        "books.failed(known, detail=str(problem))",
        "None",
        f"{_PAYING}::TestARetry::test_of_a_failed_generation_stands",
    ),
    Line(
        "an id that could not be written before is written with the delivery",
        "operators/books.py",
        "unwritten = record.state is RecordState.INTENT and record.try_number == self.stamp.try_number",
        "unwritten = False",
        f"{_PAYING}::TestTheRecord::test_a_task_whose_id_cannot_be_written_says_it_and_goes_on",
    ),
    Line(
        "a late event does not write into the record of another generation",
        "operators/books.py",
        'if unwritten or record.generation_id == known["generation_id"]:',
        "if True:",
        f"{_LIFE}::TestDeferring::test_a_late_event_of_another_generation_does_not_touch_the_record",
    ),
    Line(
        "a record that cannot be read is not taken for none",
        "operators/attempt.py",
        'raise SubmissionStopped(f"[{identity.name}] stopped: {problem}. It is {ledger.where()}; nothing was submitted") from problem',
        "record = None",
        f"{_PAYING}::TestTheRecord::test_one_that_cannot_be_read_stops_the_task",
    ),
    Line(
        "Airflow's store keeps the record as long as the run",
        "ledger/stores.py",
        "self._store.set(KEY, record.to_json(), retention=never_expire())",
        "self._store.set(KEY, record.to_json())",
        f"{_STORES}::test_the_record_is_kept_in_the_task_state_store_for_as_long_as_its_run",
    ),
    Line(
        "the record is written under the clip's name",
        "ledger/clip_ledger.py",
        "self._clip.write(record)",
        "pass",
        f"{_PATH}::test_inserting_a_row_and_fixing_another_pays_for_those_two_alone",
    ),
    Line(
        "the record is written under the map index too",
        "ledger/clip_ledger.py",
        "self._own.write(kept)",
        "pass",
        f"{_PATH}::TestARetry::test_of_a_row_under_another_name_take_or_request_pays_nothing",
    ),
    Line(
        "the record is written under the clip's name first",
        "ledger/clip_ledger.py",
        "self._clip.write(record)\n            self._under_another_name = self._own_decides = False",
        "self._own.write(kept)\nself._clip.write(record)\nself._under_another_name = self._own_decides = False",
        f"{_CLIP}::test_of_two_map_indexes_under_one_name_the_second_notes_no_intent",
    ),
    Line(
        "nothing is submitted under a name that another clip has",
        "ledger/clip_ledger.py",
        'raise LedgerConflict(f"the name {record.name!r} has a record of another submission by now")',
        "pass",
        f"{_CLIP}::test_a_retry_under_a_name_that_another_clip_has_submits_nothing_in_its_place",
    ),
    Line(
        "the record from before there was a path is read",
        "ledger/clip_ledger.py",
        "return named or self._before.read()",
        "return named",
        f"{_PATH}::TestThePathItself::test_setting_it_forgets_nothing",
    ),
    Line(
        "of two tries that are alive at once one loses",
        "ledger/path.py",
        "if _writer(stored) != self._writer:",
        "if False:",
        f"{_STEPS}::TestTwoTriesAlive::test_only_one_of_them_can_write_an_intent",
    ),
    Line(
        "an earlier write of ours whose answer was lost is no other writer's",
        "ledger/path.py",
        "if stored == data:\n                return True",
        "pass",
        f"{_STEPS}::TestAnswersThatAreLost::test_a_record_that_was_stored_all_the_same_is_no_conflict",
    ),
    Line(
        "a step that is missing is not none",
        "ledger/steps.py",
        'raise UnreadableRecord(\n                f"{self._objects.uri}/{self.key(missing)} is missing',
        'str(\n                f"{self._objects.uri}/{self.key(missing)} is missing',
        f"{_STEPS}::TestWhatCannotBeUnderstood::test_a_step_that_is_missing",
    ),
    Line(
        "of two uploads of one image at once both have the URL of the first",
        "ledger/uploads.py",
        "return self._understood(sha256, self._objects.read(self._key(sha256)))",
        "return url",
        f"{_UPLOADS}::test_of_two_uploads_at_once_both_hand_on_one_url",
    ),
    Line(
        "an upload's record that cannot be read is not taken for none",
        "ledger/uploads.py",
        "raise UnreadableRecord(",
        "str(",
        f"{_UPLOADS}::test_an_object_that_cannot_be_understood_is_not_taken_for_none",
    ),
    Line(
        "a URL that cannot be kept is not handed on",
        "operators/upload.py",
        'raise NotAcceptedYet(f"{shown}: no URL is handed on and nothing was paid: {problem}; a retry looks again") from problem',
        "pass",
        f"{_UPLOADS}::test_a_url_that_cannot_be_kept_is_not_handed_on",
    ),
    Line(
        "a step on the path survives a power cut before anything is sent",
        "ledger/objects.py",
        "self._store.settle(folder)",
        "pass",
        "tests/ledger_path/test_objects.py::TestLocalFiles::test_every_new_name_is_synced_after_what_it_names",
    ),
    Line(
        "an intent that is taken back leaves the doubt before it",
        "operators/submission.py",
        "self._record = self._doubtful",
        "self._record = self._record.step(RecordState.NOT_SENT, at=_now())",
        "tests/operators/test_everyday_edits.py::test_an_intent_that_is_taken_back_leaves_the_doubt_before_it",
    ),
    Line(
        "where nothing tells a clear from a retry, another request stops",
        "ledger/decision.py",
        "if not now.cleared and now.perhaps_cleared:",
        "if False:",
        "tests/operators/test_everyday_edits.py::TestFewerRetriesAndARowOnTop::test_deliver_no_clip_as_another_and_pay_for_none_again",
    ),
    Line(
        "what a map index has paid for stays in its record",
        "ledger/clip_ledger.py",
        "self._submitted_here = own.submitted() if own is not None else {}",
        "pass",
        f"{_CLIP}::test_what_a_map_index_has_paid_for_is_kept_there_whatever_clip_comes_next",
    ),
    Line(
        "a request that was submitted under a name that no row has any more is not submitted under another one",
        "operators/renamed_rows.py",
        "if unmapped or not any(is_a_row_of_its_own(rows, map_index, name, index, task_id=task_id) for name, index in called):",
        "if False:",
        "tests/operators/test_renamed_rows.py::test_a_renamed_row_stops_and_names_its_video_which_can_be_gone_on_with",
    ),
    Line(
        "the id that a person writes keeps what tells a clear from a retry",
        "ledger/steps.py",
        "clears=about.clears,",
        "",
        "tests/operators/test_everyday_edits.py::test_an_id_that_a_person_writes_keeps_what_tells_a_clear_from_a_retry",
    ),
    Line(
        "a row that has failed asks whether another one has paid for what it asks for now",
        "operators/base.py",
        "if moved or (isinstance(decision, Submit) and attempt.may_be_elsewhere):",
        "if isinstance(decision, Submit) and attempt.record is None:",
        "tests/operators/test_rows_without_names.py::test_no_row_is_paid_for_again",
    ),
    Line(
        "an intent that lost against another try is taken back under its name",
        "ledger/clip_ledger.py",
        'self._clip.write(replace(record, state=RecordState.NOT_SENT, sent={}, detail="another try is at work"))',
        "pass",
        f"{_CLIP}::test_an_intent_that_lost_against_another_try_is_taken_back_under_its_name",
    ),
    Line(
        "other rows are told before anything is sent",
        "operators/base.py",
        "tell_other_rows(context, attempt.ledger, replace(submission.record, state=RecordState.INTENT))",
        "pass",
        "tests/operators/test_moved_rows.py::test_a_row_that_died_while_it_submitted_has_told_of_it",
    ),
    Line(
        "a clip that is another row now is no retry's",
        "ledger/clip_ledger.py",
        "goes_on = goes_on and (nameless or own.name == self._name or not self._is_a_row(own.name))",
        "pass",
        f"{_CLIP}::test_a_record_that_is_another_rows_by_now_is_no_retrys",
    ),
    Line(
        "an id that a person writes is for the request that went on with it",
        "ledger/record.py",
        "return replace(self, facts=facts, fingerprint=self.fingerprint or mark)",
        "return replace(self, facts=facts)",
        "tests/operators/test_everyday_edits.py::test_an_id_in_an_empty_entry_is_for_the_request_that_went_on_with_it",
    ),
)
