"""The hook against the emulator."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS
from PIL import Image

from airflow_provider_happyhorse.api.errors import Unauthorized, Unsupported
from airflow_provider_happyhorse.hooks.happyhorse import MAX_UPLOAD_BYTES, HappyHorseHook, read_image
from airflow_provider_happyhorse.provider_info import CONNECTION_FIELDS, get_provider_info
from tests.emulator_process import EmulatorProcess, ServiceName
from tests.transports import servers
from tests.transports.servers import Server

BOTH: list[ServiceName] = ["happy-horse.ai", "happyhorse.app"]
SHORT: dict[ServiceName, dict[str, Any]] = {"happy-horse.ai": {"prompt": "x"}, "happyhorse.app": {"prompt": "x", "mode": "std"}}


class TestTestConnection:
    @pytest.fixture(autouse=True)
    def costs_nothing(self, emulator: EmulatorProcess) -> Any:
        yield
        assert emulator.charged() == 0
        assert emulator.state()["jobs"] == []

    @pytest.mark.parametrize("service", BOTH)
    def test_a_good_key_is_accepted(self, connect: Callable[..., str], service: ServiceName) -> None:
        fine, message = HappyHorseHook(connect(service)).test_connection()
        assert fine
        assert service in message

    @pytest.mark.parametrize("service", BOTH)
    def test_a_bad_key_is_not(self, connect: Callable[..., str], service: ServiceName) -> None:
        fine, message = HappyHorseHook(connect(service, key="sk-wrong")).test_connection()
        assert not fine
        assert "401" in message
        assert "sk-wrong" not in message

    @pytest.mark.parametrize("service", BOTH)
    def test_an_unreachable_service_is_said_at_once(self, connect: Callable[..., str], service: ServiceName) -> None:
        with servers.refusing_port() as port:
            fine, message = HappyHorseHook(connect(service, host=f"http://127.0.0.1:{port}/x")).test_connection()
        assert not fine
        assert "nothing was sent" in message

    @pytest.mark.parametrize("service", BOTH)
    def test_the_other_services_base_url_is_noticed(
        self, connect: Callable[..., str], emulator: EmulatorProcess, service: ServiceName
    ) -> None:
        host = f"{emulator.url}/nothing/here"
        fine, _ = HappyHorseHook(connect(service, host=host)).test_connection()
        assert not fine

    def test_something_else_that_answers_is_noticed(self, connect: Callable[..., str]) -> None:
        page = servers.answer(raw=b"<html>Welcome to nginx!</html>")
        with Server(servers.says(page)) as server:
            for service in BOTH:
                assert not HappyHorseHook(connect(service, host=server.url)).test_connection()[0]

    def test_a_connection_that_cannot_be_used_is_named(self, connect: Callable[..., str]) -> None:
        fine, message = HappyHorseHook(connect(host="http://example.com")).test_connection()
        assert not fine
        assert "'happyhorse_default'" in message

    def test_a_connection_that_is_not_there_is_named(self) -> None:
        fine, message = HappyHorseHook("is_not_there").test_connection()
        assert not fine
        assert "is_not_there" in message


class TestRequests:
    def test_checking_and_estimating_send_nothing(self, connect: Callable[..., str], emulator: EmulatorProcess) -> None:
        hook = HappyHorseHook(connect())
        assert hook.check({"prompt": "x", "duration": "5"}) == []
        assert any("nonsense" in problem for problem in hook.check({"prompt": "x", "nonsense": 1}))
        assert hook.estimate_credits({"prompt": "x", "duration": 5}) == 25
        for call in (hook.estimate_credits, hook.submit):
            with pytest.raises(ValueError, match="prompt"):
                call({"duration": 5})
        assert emulator.requests() == []

    @pytest.mark.parametrize("service", BOTH)
    def test_submit_pays_on_every_call(self, connect: Callable[..., str], emulator: EmulatorProcess, service: ServiceName) -> None:
        hook = HappyHorseHook(connect(service))
        ids = {hook.submit(SHORT[service]).generation_id for _ in range(2)}
        assert len(ids) == emulator.charged() == 2
        assert {hook.get_generation(generation_id).generation_id for generation_id in ids} == ids

    def test_what_a_service_does_not_have_is_said(self, connect: Callable[..., str], emulator: EmulatorProcess) -> None:
        hook = HappyHorseHook(connect("happyhorse.app"))
        for call in (hook.list_generations, hook.get_credits):
            with pytest.raises(Unsupported):
                call()
        assert emulator.requests() == []

    def test_the_list_and_the_balance(self, connect: Callable[..., str], emulator: EmulatorProcess) -> None:
        hook = HappyHorseHook(connect())
        ids = emulator.seed(3)
        assert {generation.generation_id for generation in hook.list_generations()} == set(ids)
        assert hook.get_credits().remaining == 10_000
        for page, limit in ((0, 20), (1, 0), (1, 51)):
            with pytest.raises(ValueError, match="limit"):
                hook.list_generations(page, limit)

    def test_a_revoked_key_is_an_error_of_its_own(self, connect: Callable[..., str]) -> None:
        with pytest.raises(Unauthorized):
            HappyHorseHook(connect(key="sk-old")).get_credits()


class TestUploads:
    @pytest.fixture
    def image(self, tmp_path: Path) -> Callable[..., Path]:
        def made(name: str = "product.png", *, size: int | None = None, form: str = "PNG") -> Path:
            path = tmp_path / name
            Image.new("RGB", (8, 8), "navy").save(path, form)
            if size is not None:
                path.write_bytes(path.read_bytes().ljust(size, b"\0"))
            return path

        return made

    @pytest.mark.parametrize(("form", "content_type"), [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/webp")])
    def test_an_image_is_known_by_its_content(self, image: Callable[..., Path], form: str, content_type: str) -> None:
        assert read_image(image("product.txt", form=form)).content_type == content_type

    def test_an_image_is_hosted(self, connect: Callable[..., str], emulator: EmulatorProcess, image: Callable[..., Path]) -> None:
        hook = HappyHorseHook(connect())
        assert hook.upload_image(image()).startswith(emulator.url)
        assert hook.upload_image(f"file://{image()}").startswith(emulator.url)
        assert hook.upload_image(str(image("größe ü.png"))).startswith(emulator.url)

    def test_ten_megabytes_are_taken_and_one_byte_more_is_refused_before_any_request(
        self, connect: Callable[..., str], emulator: EmulatorProcess, image: Callable[..., Path]
    ) -> None:
        hook = HappyHorseHook(connect())
        with pytest.raises(ValueError, match=str(MAX_UPLOAD_BYTES + 1)):
            hook.upload_image(image(size=MAX_UPLOAD_BYTES + 1))
        assert emulator.requests() == []
        assert hook.upload_image(image(size=MAX_UPLOAD_BYTES)).startswith(emulator.url)

    @pytest.mark.parametrize("content", [b"", b"GIF89a", b"<html>", b"\x89PN", b"%PDF-1.7"])
    def test_what_is_no_image_is_refused_before_any_request(
        self, connect: Callable[..., str], emulator: EmulatorProcess, tmp_path: Path, content: bytes
    ) -> None:
        path = tmp_path / "image.png"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"image\.png is not a JPG"):
            HappyHorseHook(connect()).upload_image(path)
        assert emulator.requests() == []

    def test_what_cannot_be_read_is_named(self, tmp_path: Path) -> None:
        for path in (tmp_path / "missing.png", tmp_path):
            with pytest.raises(ValueError, match="cannot be read"):
                read_image(path)


class TestTheConnectionForm:
    def test_the_new_form_has_the_fields_that_are_read(self) -> None:
        fields = get_provider_info()["connection-types"][0]["conn-fields"]
        assert set(fields) == set(CONNECTION_FIELDS)
        assert {"service", "max_credits", "check_balance", "credit_price", "ledger_path"} <= set(fields)

    @pytest.mark.skipif(AIRFLOW_V_3_0_PLUS, reason="the form of Airflow 2.11 is made of widgets, which Airflow 3 does not install")
    def test_the_old_form_has_the_same_fields(self) -> None:
        widgets = HappyHorseHook.get_connection_form_widgets()
        assert list(widgets) == list(CONNECTION_FIELDS)
        for name, (label, description, _) in CONNECTION_FIELDS.items():
            given = widgets[name].kwargs
            assert str(given["label"]) == label
            assert given["description"] == description

    @pytest.mark.skipif(AIRFLOW_V_3_0_PLUS, reason="the form of Airflow 2.11 is made of widgets, which Airflow 3 does not install")
    def test_airflow_itself_shows_the_old_form(self) -> None:
        from airflow.providers_manager import ProvidersManager

        shown = ProvidersManager().connection_form_widgets
        assert {name for name in shown if "happyhorse" in name} == {f"extra__happyhorse__{name}" for name in CONNECTION_FIELDS}
        behaviour = ProvidersManager().field_behaviours["happyhorse"]
        assert behaviour["relabeling"] == {"password": "API key", "host": "Base URL"}
