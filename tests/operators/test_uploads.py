"""The upload operator: the same bytes get the same URL, so that no clip made from them is paid for again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from airflow_provider_happyhorse.exceptions import InvalidArguments, NotAcceptedYet, SubmissionStopped
from airflow_provider_happyhorse.hooks.happyhorse import HappyHorseHook
from airflow_provider_happyhorse.operators import HappyHorseUploadImageOperator
from tests.emulator_process import EmulatorProcess
from tests.operators.task_instances import QUICK, Store, Task

UPLOAD = "/api/v1/upload"


@pytest.fixture
def picture(tmp_path: Path) -> Callable[[str], str]:
    """Give the function that makes an image of one colour: ``picture("red") -> path``."""

    def made(colour: str) -> str:
        path = tmp_path / f"{colour}.png"
        Image.new("RGB", (64, 36), colour).save(path)
        return str(path)

    return made


class Upload(Task):
    """A task instance of the upload operator."""

    def build(self, **changed: Any) -> Any:
        return self._operator(**{"task_id": self.ti.task_id, **self.arguments, **changed})


def upload(image: str, *, task_id: str = "upload", run_id: str = "", **given: Any) -> Upload:
    task = Upload(HappyHorseUploadImageOperator, image=image, **given)
    task.ti.task_id, task.ti.run_id = task_id, run_id or task.ti.run_id
    return task


def uploads(emulator: EmulatorProcess) -> int:
    return sum(request["path"] == UPLOAD for request in emulator.requests())


def kept(ledger: Path) -> Path:
    (found,) = ledger.glob("uploads/*/*/*/*.json")
    return found


@pytest.mark.usefixtures("on_path")
class TestWithALedgerPath:
    def test_the_run_uploads_the_same_bytes_once(self, emulator: EmulatorProcess, picture: Callable[[str], str]) -> None:
        """Whatever the map index, the task, the try, or the file's name."""
        first = upload(picture("red"), map_index=0)
        url = first.run()
        copy = shutil.copy(picture("red"), Path(picture("red")).with_name("copy.png"))
        assert first.run(image=str(copy)) == url
        assert upload(picture("red"), map_index=7).run() == url
        assert upload(picture("red"), task_id="another").run() == url
        assert "already hosted" in first.log.text()
        assert uploads(emulator) == 1

    def test_other_bytes_another_run_and_another_host_have_urls_of_their_own(
        self, connect: Callable[..., str], emulator: EmulatorProcess, picture: Callable[[str], str], ledger: Path
    ) -> None:
        other = connect(
            conn_id="other", host=emulator.base_url("happy-horse.ai").replace("127.0.0.1", "localhost"), ledger_path=str(ledger)
        )
        urls = [
            upload(picture("red")).run(),
            upload(picture("blue")).run(),
            upload(picture("red"), run_id="scheduled__2026-11-21").run(),
            upload(picture("red"), happyhorse_conn_id=other).run(),
        ]
        assert len(set(urls)) == 4

    def test_a_base_url_that_is_spelled_otherwise_is_no_other_host(
        self, connect: Callable[..., str], emulator: EmulatorProcess, picture: Callable[[str], str], ledger: Path
    ) -> None:
        """As it makes no other request either."""
        other = connect(conn_id="other", host=f"{emulator.base_url('happy-horse.ai')}/", ledger_path=str(ledger))
        assert upload(picture("red")).run() == upload(picture("red"), happyhorse_conn_id=other).run()
        assert uploads(emulator) == 1

    def test_another_key_for_the_same_service_pays_for_nothing_again(
        self, connect: Callable[..., str], emulator: EmulatorProcess, picture: Callable[[str], str], ledger: Path
    ) -> None:
        """What makes two requests the same knows no accounts either: an author whose key is used up goes on with another."""
        other = connect(conn_id="other", key="sk-sd_free", ledger_path=str(ledger))
        assert upload(picture("red")).run() == upload(picture("red"), happyhorse_conn_id=other).run()
        assert uploads(emulator) == 1

    def test_of_two_uploads_at_once_both_hand_on_one_url(
        self, emulator: EmulatorProcess, picture: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        late, early, send = upload(picture("red"), map_index=0), upload(picture("red"), map_index=1), HappyHorseHook.upload_part
        urls: list[str] = []

        def meanwhile(self: HappyHorseHook, part: Any) -> str:
            monkeypatch.setattr(HappyHorseHook, "upload_part", send)
            urls.append(early.run())
            return send(self, part)

        monkeypatch.setattr(HappyHorseHook, "upload_part", meanwhile)
        urls.append(late.run())
        assert uploads(emulator) == 2
        assert urls[0] == urls[1]
        assert "has uploaded it meanwhile" in late.log.text()

    def test_a_clip_is_not_paid_for_again_when_upload_and_generate_are_cleared(
        self, emulator: EmulatorProcess, picture: Callable[[str], str]
    ) -> None:
        """On an Airflow without a state store, too."""
        image, clip = upload(picture("red")), Task()
        one = clip.run(request={"prompt": QUICK, "image_url": image.run()})
        image.clear()
        clip.clear()
        two = clip.run(request={"prompt": QUICK, "image_url": image.run()})
        assert two["generation_id"] == one["generation_id"]
        assert emulator.charged() == 1

    def test_a_row_on_top_pays_for_itself_alone(self, emulator: EmulatorProcess, picture: Callable[[str], str]) -> None:
        table = ["red", "green", "blue"]
        clips = [Task(map_index=index) for index in range(4)]

        def run() -> None:
            for index, colour in enumerate(table):
                clips[index].clear()
                image_url = upload(picture(colour), map_index=index).run()
                clips[index].run(request={"name": colour, "prompt": f"{colour}, {QUICK}", "image_url": image_url})

        run()
        table.insert(0, "white")
        run()
        assert emulator.charged() == 4

    def test_a_path_that_does_not_answer_fails_before_anything_is_sent_and_a_retry_may_help(
        self, emulator: EmulatorProcess, picture: Callable[[str], str], ledger: Path
    ) -> None:
        ledger.rmdir()
        task = upload(picture("red"))
        with pytest.raises(NotAcceptedYet, match=r"no URL is handed on and nothing was paid.*does not exist or cannot be reached"):
            task.run()
        assert uploads(emulator) == 0
        ledger.mkdir()
        assert task.run().startswith("http")

    def test_a_url_that_cannot_be_kept_is_not_handed_on(
        self, emulator: EmulatorProcess, picture: Callable[[str], str], ledger: Path
    ) -> None:
        (ledger / "uploads").write_text("a file where a folder should be")
        task = upload(picture("red"))
        with pytest.raises(NotAcceptedYet, match="a retry looks again"):
            task.run()
        (ledger / "uploads").unlink()
        url = task.run()
        assert url == json.loads(kept(ledger).read_text())["url"]

    @pytest.mark.parametrize("written", ["", "{", "[]", "{}", '{"url": 3}', '{"url": "https://example.com/other.png"}'])
    def test_an_object_that_cannot_be_understood_is_not_taken_for_none(
        self, emulator: EmulatorProcess, picture: Callable[[str], str], ledger: Path, written: str
    ) -> None:
        task = upload(picture("red"))
        url = task.run()
        kept(ledger).write_text(written)
        with pytest.raises(SubmissionStopped, match="does not say where this image is hosted") as stopped:
            task.run()
        assert uploads(emulator) == 1
        told = json.loads(str(stopped.value).partition("Write it anew with ")[2].partition(" and,")[0])
        kept(ledger).write_text(json.dumps({**told, "url": url}))
        assert task.run() == url

    def test_a_path_that_can_keep_nothing_is_refused(
        self, connect: Callable[..., str], emulator: EmulatorProcess, picture: Callable[[str], str]
    ) -> None:
        connect(ledger_path="gs://bucket/ledger")
        with pytest.raises(InvalidArguments, match=r"gs:// has no exclusive create.*Nothing was paid"):
            upload(picture("red")).run()
        assert emulator.requests() == []


class TestWithAirflowsStore:
    def test_a_retry_or_clear_of_the_task_instance_has_the_same_url(
        self, connect: Callable[..., str], emulator: EmulatorProcess, store: Store, picture: Callable[[str], str]
    ) -> None:
        connect()
        task = upload(picture("red"), store=store)
        url = task.run()
        task.clear()
        assert task.run() == url
        assert task.run(image=picture("blue")) != url
        assert uploads(emulator) == 2

    def test_setting_a_path_forgets_nothing(
        self, connect: Callable[..., str], emulator: EmulatorProcess, store: Store, picture: Callable[[str], str], ledger: Path
    ) -> None:
        connect()
        task = upload(picture("red"), map_index=0, store=store)
        url = task.run()
        connect(ledger_path=str(ledger))
        assert task.run() == url
        assert upload(picture("red"), map_index=1, store=Store()).run() == url
        assert uploads(emulator) == 1


def test_without_a_record_each_upload_has_a_url_of_its_own(
    connect: Callable[..., str], emulator: EmulatorProcess, picture: Callable[[str], str]
) -> None:
    connect()
    task = upload(picture("red"))
    assert task.run() != task.run()
