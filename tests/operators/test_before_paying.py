"""Everything that can be known to fail is found before anything is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException

from airflow_provider_happyhorse.exceptions import BudgetExceeded, InvalidArguments, NotAcceptedYet
from airflow_provider_happyhorse.operators import HappyHorsePublishOperator
from tests.emulator_process import EmulatorProcess
from tests.operators.task_instances import QUICK, Task


@pytest.fixture(autouse=True)
def sends_nothing(emulator: EmulatorProcess) -> Iterator[None]:
    yield
    assert emulator.requests() == []


class TestTheRequest:
    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            ({"prompt": "  "}, "prompt"),
            ({"prompt": None}, "prompt"),
            ({"prompt": None, "request": {"duration": 5}}, "prompt"),
            ({"request": {"prompt": "twice"}}, "twice"),
            ({"request": {"nonsense": 1}}, "nonsense"),
            ({"request": {"duration": "long"}}, "duration"),
            ({"request": "a kettle"}, "request"),
            ({"name": "x" * 201}, "name"),
            ({"name": "two\nlines"}, "name"),
            ({"max_credits": "many"}, "max_credits"),
            ({"max_credits": -1}, "max_credits"),
            ({"timeout": 0}, "timeout"),
            ({"timeout": "1h"}, "timeout"),
            ({"wait_for_completion": False, "destination": "file:///tmp/x/"}, "destination"),
            ({"destination": "gs://bucket/clips/"}, "Publishing to gs:// is not yet proven"),
            ({"destination": "clips/"}, "is relative"),
            ({"destination": "s3://bucket"}, "names no object"),
            ({"destination": Path("/clips/")}, "forgets the '/'"),
            ({"destination": "s3://KEY:secret@bucket/"}, "belong into that connection"),
        ],
    )
    def test_what_is_certainly_wrong_does_not_get_into_the_dag(
        self, unprotected: Callable[..., Task], arguments: dict[str, Any], says: str
    ) -> None:
        with pytest.raises(InvalidArguments, match=says) as caught:
            unprotected(**arguments).build()
        assert isinstance(caught.value, AirflowFailException)

    @pytest.mark.parametrize(
        ("rendered", "says"),
        [
            ({"prompt": ""}, "prompt"),
            ({"request": {"nonsense": 1}}, "nonsense"),
            ({"request": {"mode": "pro"}}, "mode"),
            ({"request": "a kettle"}, "request"),
            ({"request": {"image_url": "https://["}}, "image_url"),
            ({"name": "x" * 201}, "name"),
            ({"max_credits": "None"}, "max_credits"),
            ({"request": {"name": "a"}, "name": "b"}, "`name` is given twice"),
            ({"request": {"prompt": "a"}}, "`prompt` is given twice"),
        ],
    )
    def test_what_turns_out_to_be_wrong_is_not_sent(self, unprotected: Callable[..., Task], rendered: dict[str, Any], says: str) -> None:
        with pytest.raises(InvalidArguments, match=says):
            unprotected().run(rendered=rendered)

    def test_a_field_of_the_other_service_is_not_sent(self, unprotected: Callable[..., Task], connect: Callable[..., str]) -> None:
        connect("happyhorse.app")
        with pytest.raises(InvalidArguments, match="image_url"):
            unprotected(request={"image_url": "https://cdn.example/1.png"}).run()


class TestTheConnection:
    def test_one_that_cannot_be_used_is_named(self, unprotected: Callable[..., Task], connect: Callable[..., str]) -> None:
        connect(host="http://example.com")
        with pytest.raises(InvalidArguments, match=r"connection 'happyhorse_default'.*plain http"):
            unprotected().run()


class TestTheCap:
    @pytest.mark.parametrize(
        ("connection_cap", "arguments"),
        [
            (None, {"max_credits": 24}),
            (None, {"max_credits": "24"}),
            (None, {"max_credits": 0}),
            (24, {}),
            (24, {"max_credits": 100}),
            (100, {"max_credits": 24}),
            (None, {"request": {"max_credits": 24}}),
            (100, {"request": {"max_credits": "24"}}),
        ],
    )
    def test_the_lowest_wins(
        self, unprotected: Callable[..., Task], connect: Callable[..., str], connection_cap: int | None, arguments: dict[str, Any]
    ) -> None:
        connect(max_credits=connection_cap)
        running = unprotected(**arguments)
        with pytest.raises(BudgetExceeded, match=r"25 credits.*cap is (24|0) .*nothing was submitted"):
            running.run()
        assert running.xcoms["happyhorse"]["state"] == "refused"
        assert running.xcoms["happyhorse"]["credits_estimated"] == 25

    @pytest.mark.parametrize("cap", ["", " ", [], [None], float("nan")])
    def test_what_is_empty_lifts_no_cap(self, unprotected: Callable[..., Task], emulator: EmulatorProcess, cap: Any) -> None:
        with pytest.raises(InvalidArguments, match="`max_credits` is empty"):
            unprotected().run(rendered={"max_credits": cap})
        with pytest.raises(InvalidArguments, match="`max_credits` is empty"):
            unprotected(max_credits=cap).build()
        assert emulator.charged() == 0

    def test_an_empty_cell_of_a_row_is_not_given(self, unprotected: Callable[..., Task]) -> None:
        with pytest.raises(BudgetExceeded, match="cap is 24"):
            unprotected(prompt=None, request={"prompt": QUICK, "max_credits": ""}, max_credits=24).run()

    def test_an_unknown_price_is_above_every_cap(self, unprotected: Callable[..., Task]) -> None:
        with pytest.raises(BudgetExceeded, match="price is unknown"):
            unprotected(request={"model": "brand-new-model"}, max_credits=10**9).run()


class TestTheDestination:
    def test_a_file_where_a_folder_should_be(self, unprotected: Callable[..., Task], tmp_path: Path) -> None:
        (tmp_path / "out").write_text("in the way")
        with pytest.raises(AirflowFailException):
            unprotected(destination=f"file://{tmp_path}/out/").run()

    @pytest.mark.parametrize("destination", ["gs://bucket/clips/", "clips/", "s3://bucket", "file:///clips/ ", "", None, Path("/clips/")])
    def test_of_a_publish_task_that_can_never_work_does_not_get_into_the_dag(self, destination: Any) -> None:
        with DAG("campaign", schedule=None):
            HappyHorsePublishOperator(task_id="later", generation="n1", destination="{{ params.to }}")
            with pytest.raises(InvalidArguments, match="`destination`"):
                HappyHorsePublishOperator(task_id="publish", generation="n1", destination=destination)

    @pytest.mark.parametrize("option", ["MAX_RESULT_BYTES", "MAX_DOWNLOAD_SECONDS"])
    @pytest.mark.parametrize("limit", ["0", "-5", "many", "nan"])
    def test_limits_that_no_download_can_keep_are_refused(
        self, unprotected: Callable[..., Task], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, limit: str
    ) -> None:
        monkeypatch.setenv(f"AIRFLOW__HAPPYHORSE__{option}", limit)
        with pytest.raises(InvalidArguments, match=rf"{option.lower()} must be a number above 0.*Nothing was submitted"):
            unprotected(destination=f"file://{tmp_path}/out/").run()

    def test_a_storage_that_may_come_back_is_worth_a_retry(self, unprotected: Callable[..., Task]) -> None:
        with pytest.raises(NotAcceptedYet, match=r"nothing was paid: .*no_such_connection.*a retry looks again"):
            unprotected(destination="s3://no_such_connection@campaigns/clips/").run()


class TestTheGrid:
    @pytest.mark.parametrize("template", ["{{ nothing.at.all }}", "{{ 1 / 0 }}", "{% if %}"])
    def test_a_map_index_template_that_cannot_be_rendered(self, unprotected: Callable[..., Task], template: str) -> None:
        with DAG("campaign", schedule=None), pytest.raises(InvalidArguments, match="map_index_template"):
            unprotected(map_index_template=template, prompt=QUICK, map_index=0).run()
