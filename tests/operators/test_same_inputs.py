"""What asks for the same clip however it is told: results of earlier tasks, tables that somebody has added to, and spellings of a text."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pendulum
import pytest
from airflow.providers.common.compat.sdk import DAG, task
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_happyhorse.ledger.record import fingerprint
from airflow_provider_happyhorse.operators import HappyHorseGenerateVideoOperator, HappyHorsePublishOperator
from airflow_provider_happyhorse.operators.clip import read_name, read_take
from airflow_provider_happyhorse.operators.inputs import plain_json
from airflow_provider_happyhorse.results import new_result
from tests.dag_runs import clear_and_run, run_dag
from tests.emulator_process import EmulatorProcess
from tests.operators.task_instances import QUICK, Task

Tasks = Callable[..., Task]
NAN = float("nan")
RESULT = new_result(name="kettle", kind="video", service="happy-horse.ai", happyhorse_conn_id="shop", generation_id="v1", state="succeeded")
AGAIN = {**RESULT, "reused": True, "credits": 25, "completed_at": "2026-11-20T10:00:00+00:00", "result_urls": ["https://cdn/v1.mp4"]}


def dag(dag_id: str) -> DAG:
    return DAG(dag_id=dag_id, schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), catchup=False)


@pytest.fixture
def connected(connect: Callable[..., str], tmp_path: Path) -> Path:
    (tmp_path / "ledger").mkdir()
    connect(ledger_path=f"{tmp_path}/ledger")
    return tmp_path


class TestAResultOfAnEarlierTask:
    @pytest.mark.airflow
    @pytest.mark.usefixtures("airflow_database")
    @pytest.mark.parametrize("of", ["generate", "publish"])
    def test_that_is_cleared_with_all_others_pays_for_no_sequel_again(self, connected: Path, emulator: EmulatorProcess, of: str) -> None:
        with dag(f"sequel_of_{of}") as written:
            made = HappyHorseGenerateVideoOperator(task_id="generate", prompt=QUICK, deferrable=False).output
            if of == "publish":
                made = HappyHorsePublishOperator(task_id="publish", generation=made, destination=f"file://{connected}/out/").output

            @task.happyhorse_video(deferrable=False, retries=0)
            def sequel(made: Any) -> str:
                return f"from behind {QUICK}"

            sequel(made)
        run = run_dag(written)
        first = run.xcom("sequel")["generation_id"]
        given = run.xcom(of) if of == "publish" else run.xcom("generate")
        assert plain_json({"made": given}) == {"made": {"generation_id": given["generation_id"]}}
        run = clear_and_run(written, run)
        assert run.states("sequel") == ["success"]
        assert (run.xcom("sequel")["generation_id"], emulator.charged()) == (first, 2)

    @pytest.mark.parametrize("wrapped", [lambda one: one, lambda one: [one], lambda one: {"clips": (one,)}])
    def test_is_what_it_is_about_wherever_it_is(self, wrapped: Callable[[Any], Any]) -> None:
        assert plain_json({"made": wrapped(RESULT)}) == plain_json({"made": wrapped(AGAIN)})
        assert plain_json({"made": wrapped(RESULT)}) != plain_json({"made": wrapped({**RESULT, "generation_id": "v2"})})

    def test_keeps_what_an_author_has_added(self) -> None:
        assert plain_json({"made": {**RESULT, "title": "A kettle"}}) == {"made": {"generation_id": "v1", "title": "A kettle"}}

    def test_without_an_id_and_what_only_looks_like_one_stay_whole(self) -> None:
        refused = {**RESULT, "generation_id": None, "state": "refused"}
        assert plain_json({"made": refused}) != plain_json({"made": {**refused, "state": "ambiguous"}})
        own = {"generation_id": "v1", "name": "kettle", "credits": 25}
        assert plain_json({"made": own}) == {"made": own}


class TestATableThatSomebodyHasAddedTo:
    @pytest.mark.airflow
    @pytest.mark.usefixtures("airflow_database")
    @pytest.mark.parametrize(
        ("case", "before", "after"),
        [
            ("an_empty_number", [{"sku": 1}, {"sku": 2}], [{"sku": 1.0}, {"sku": 2.0}, {"sku": 3.0, "stock": 4.0}]),
            (
                "a_new_column",
                [{"sku": "a"}, {"sku": "b"}],
                [{"sku": "a", "note": ""}, {"sku": "b", "note": None}, {"sku": "c", "note": "n"}],
            ),
        ],
    )
    def test_pays_for_the_new_row_alone(
        self, connected: Path, emulator: EmulatorProcess, case: str, before: list[Any], after: list[Any]
    ) -> None:
        table = connected / "rows.json"
        with dag(f"added_{case}") as written:

            @task
            def rows() -> Any:
                return json.loads(table.read_text())

            @task.happyhorse_video(deferrable=False, retries=0, name="{{ task.op_kwargs['row']['sku'] }}")
            def clip(row: Any) -> str:
                return f"product {row['sku']} {QUICK}"

            clip.expand(row=rows())
        table.write_text(json.dumps(before))
        run = run_dag(written)
        assert emulator.charged() == 2
        table.write_text(json.dumps(after))
        run = clear_and_run(written, run)
        assert run.states("clip") == ["success"] * 3
        assert emulator.charged() == 3

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ({"stock": 7}, {"stock": 7.0}),
            ({"stock": 7}, {"stock": Decimal("7.00")}),
            ({"stock": [7, 8]}, {"stock": [7.0, 8.0]}),
            ({"sku": "a"}, {"sku": "a", "note": NAN}),
            ({"sku": "a"}, {"sku": "a", "note": " "}),
            ({"row": {"sku": "a"}}, {"row": {"sku": "a", "note": None}}),
            ({"rows": [{"sku": "a"}]}, {"rows": [{"sku": "a", "note": Decimal("NaN")}]}),
            ({"sizes": [1, None]}, {"sizes": [1.0, NAN]}),
        ],
    )
    def test_says_the_same_of_its_old_rows(self, before: dict[str, Any], after: dict[str, Any]) -> None:
        assert plain_json(before) == plain_json(after)

    @pytest.mark.parametrize(
        ("one", "another"),
        [({"stock": 7}, {"stock": 7.5}), ({"on": False}, {}), ({"on": 0}, {}), ({"sizes": ["", "a"]}, {"sizes": ["a"]})],
    )
    def test_says_what_differs(self, one: dict[str, Any], another: dict[str, Any]) -> None:
        assert plain_json(one) != plain_json(another)

    @pytest.mark.parametrize("written", [7, 7.0, "7", "7.0", " 7.0 ", Decimal("7.0")])
    def test_names_a_clip_by_the_same_number(self, written: Any) -> None:
        assert read_name(written) == ("7", [])
        assert read_take(written) == "7"

    @pytest.mark.parametrize("written", ["v7.0", "7.00", "07.0", "1.7.0", "7.5", ".0"])
    def test_leaves_other_names_as_they_are(self, written: str) -> None:
        assert read_name(written) == (written, [])


class TestSpelling:
    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ("a kettle", "a kettle "),
            ("a kettle\nfrom behind", "a kettle\r\nfrom behind"),
            ("a kettle", "a kettle\n"),
            (unicodedata.normalize("NFC", "un café"), unicodedata.normalize("NFD", "un café")),
        ],
    )
    def test_of_a_prompt_is_no_other_request_and_is_sent_as_it_is(
        self, on_path: Tasks, emulator: EmulatorProcess, before: str, after: str
    ) -> None:
        running = on_path(prompt=None)
        first = running.run(request={"prompt": f"{QUICK} {before}"})
        running.clear()
        assert running.run(request={"prompt": f"{QUICK} {after}"})["generation_id"] == first["generation_id"]
        assert emulator.charged() == 1
        assert emulator.state()["jobs"][0]["request"]["prompt"] == f"{QUICK} {before}"

    @given(text=st.text(st.characters(exclude_characters="\r")), end=st.sampled_from(["", " ", "\n", "\r\n", "\t"]))
    def test_of_any_text_is_no_other_request(self, text: str, end: str) -> None:
        def mark(prompt: str) -> str:
            request = {"prompt": "a", "multi_prompt": [{"prompt": prompt}]}
            return fingerprint(kind="video", service="happy-horse.ai", base_url="https://happy-horse.ai", take="", request=request)

        assert mark(text) == mark(unicodedata.normalize("NFD", text) + end) == mark(text.replace("\n", "\r\n"))
        assert mark(text) != mark(f"{text} and a cup")
