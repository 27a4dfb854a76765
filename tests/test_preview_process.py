"""The process that decodes a stranger's video: what it gets, what ends it, and what the worker itself never loads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_previews import SCRIPT, VIDEO, decoder, run, warnings
from tests.test_storage import ENVIRONMENT


class TestTheProcess:
    def test_it_gets_no_secret_and_cannot_write_the_video(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_HAPPYHORSE_DEFAULT", "geheim")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "geheim")
        code = "try: os.write(0, b'x')\nexcept OSError as error: sys.exit(f'{error.strerror} {sorted(os.environ)} {os.getcwd()}')"
        run(f"{tmp_path}/x.mp4", VIDEO, rules=decoder(code))
        assert (tmp_path / "x.mp4").read_bytes() == VIDEO
        said = warnings(caplog)[0]
        assert "Bad file descriptor [" in said
        assert said.endswith("] /")
        assert "AIRFLOW" not in said
        assert "AWS" not in said

    @pytest.mark.parametrize(
        ("code", "ends"),
        [
            ("bytearray(2 << 30)", "MemoryError"),
            ("while True: pass", -1),
            ("import time; time.sleep(60)", -1),
            ("open(sys.argv[1], 'wb').write(bytes(3_000_000))", "OSError: [Errno 27] File too large"),
            ("[open('/dev/null') for _ in range(100)]", "OSError: [Errno 24] Too many open files: '/dev/null'"),
        ],
        ids=["memory", "cpu", "time", "file", "files"],
    )
    def test_its_limits_end_it(self, tmp_path: Path, code: str, ends: str | int) -> None:
        script = f"import runpy, sys\nkept = []\nrunpy.run_path({SCRIPT!r})['limit'](1)\nkept.append({code})"
        if code.startswith(("while", "import")):
            script = script.replace(f"kept.append({code})", code)
        ended = subprocess.run([sys.executable, "-c", script, str(tmp_path / "x")], capture_output=True, text=True, check=False, timeout=30)
        assert ended.returncode < 0 if ends == -1 else ended.stderr.strip().splitlines()[-1] == ends

    def test_the_worker_itself_loads_no_decoder(self, tmp_path: Path) -> None:
        (tmp_path / "in.mp4").write_bytes(VIDEO)
        script = (
            "import sys; from airflow_provider_happyhorse.publishing.previews import PreviewRules, rendered\n"
            f"with open({str(tmp_path / 'in.mp4')!r}, 'rb') as file, rendered(file, PreviewRules(), seconds=60) as pictures:\n"
            "    print([len(picture.read()) > 0 for picture in pictures], [name for name in ('av', 'PIL') if name in sys.modules])"
        )
        shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=ENVIRONMENT, timeout=90)
        assert shown.stdout.splitlines()[-1] == "[True, True] []"
