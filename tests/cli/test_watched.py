"""Long commands as one watches and stops them: lines, heartbeats, signals, deaths of workers."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pectl.cli import console
from pectl.cli.console import Lines, duration
from pectl.core.intake import judge_study as judging
from pectl.core.intake import store_study as pipeline

PROGRAM = Path(sys.executable).with_name("pectl")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (99, "99 s"), (100, "2 min"), (5900, "98 min"), (7500, "2 h 05 min"), (200_000, "2 d 7 h")],
)
def test_durations_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_lines_come_after_5_s_then_every_30_s_with_rate_and_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    lines = Lines("steps")
    for second in range(1, 81):
        now[0] = float(second)
        lines(10 + 2 * second, 170)
    assert capsys.readouterr().err.splitlines() == [
        "steps: 20/170, 2.00/s, 75 s left",
        "steps: 80/170, 2.00/s, 45 s left",
        "steps: 140/170, 2.00/s, 15 s left",
        "steps: 170/170, 2.00/s",
    ]
    files = Lines("files", growing=True)
    files(1, 2000)
    now[0] += 10
    files(5001, 5001)
    assert capsys.readouterr().err == "files: 5001/5001, 500.00/s\n"


def test_each_long_command_leaves_a_heartbeat(chain, pectl, tmp_path: Path) -> None:
    shared = ("--config", chain.config)
    done = pectl(
        "preprocess", chain.dicom, "--labels", chain.labels, "--out", tmp_path / "s", "--shard", "2/3", *shared
    )
    assert "estimated: " in done.err
    part = json.loads((tmp_path / "s" / "status-2-of-3.json").read_text())
    assert part["state"] == "done"
    assert part["step"] == part["total"] == len(list((tmp_path / "s" / "studies").iterdir()))
    assert set(part["estimate"]) == {"memory_bytes", "gpu_memory_bytes", "disk_bytes"}
    pectl("validate", chain.dicom, "--out", tmp_path / "v", "--shard", "2/3", *shared)
    judged = json.loads((tmp_path / "v" / "status-2-of-3.json").read_text())
    assert (judged["state"], judged["step"], judged["total"]) == ("done", part["step"], part["step"])
    for folder in ("store", "features", "stage1", "tcn"):
        status = json.loads((chain.root / folder / "status.json").read_text())
        assert (status["state"], status["pid"]) == ("done", int(chain.pid.read_text()))
        assert status["estimate"]["disk_bytes"] > 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_preprocess_stops_when_asked_and_goes_on(
    chain, pectl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    write, written = pipeline.write_study, []

    def stop_at_third(*arguments: object) -> None:
        write(*arguments)
        written.append(1)
        if len(written) == 3:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(pipeline, "write_study", stop_at_third)
    command = ("preprocess", chain.dicom, "--labels", chain.labels, "--out", tmp_path / "s", "--config", chain.config)
    stopped = pectl(*command, "--quiet")
    assert (stopped.code, stopped.err.count("\n")) == (75, 1)
    assert "found a stop signal after 3 studies; run the command again; only what is missing is done" in stopped.err
    assert json.loads((tmp_path / "s" / "status.json").read_text())["state"] == "interrupted"
    assert "9 studies done, 3 there already" in pectl(*command).out
    assert (tmp_path / "s" / "splits.csv").read_bytes() == (chain.store / "splits.csv").read_bytes()


def test_validate_stops_when_asked_and_goes_on(chain, pectl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, written = judging.write_verdict, []

    def stop_at_second(*arguments: object) -> None:
        write(*arguments)
        written.append(1)
        if len(written) == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(judging, "write_verdict", stop_at_second)
    command = ("validate", chain.dicom, "--out", tmp_path / "v", "--config", chain.config, "--quiet")
    stopped = pectl(*command)
    assert (stopped.code, stopped.err.count("\n")) == (75, 1)
    assert "found a stop signal after 2 studies; run the command again; only what is missing is done" in stopped.err
    status = json.loads((tmp_path / "v" / "status.json").read_text())
    assert (status["state"], status["step"], status["total"]) == ("interrupted", 2, 12)
    assert "12 studies (2 unchanged since an earlier run), 0 refused" in pectl(*command).out
    assert json.loads((tmp_path / "v" / "status.json").read_text())["state"] == "done"


def test_a_warning_to_all_processes_ends_preprocess_with_its_workers(chain, tmp_path: Path) -> None:
    command = [PROGRAM, "preprocess", chain.dicom, "--labels", chain.labels, "--out", tmp_path / "s", "--config"]
    process = subprocess.Popen(
        [*map(str, command), chain.config, "--workers", "2"], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    while not (tmp_path / "s" / "studies").is_dir() and process.poll() is None:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGUSR1)  # as SLURM does
    error = process.communicate(timeout=60)[1]
    assert process.returncode in {75, 0}, error  # 0: all were done before it came
    assert "killed" not in error
    deadline = time.monotonic() + 20
    while living_of(process.pid) and time.monotonic() < deadline:  # multiprocessing's helpers end a moment later
        time.sleep(0.1)
    assert not living_of(process.pid)


def living_of(group: int) -> list[Path]:
    """Return the processes of a group, without those that have ended and wait to be collected."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(process.name)) == group and (process / "cmdline").read_bytes():
                found.append(process)
        except OSError:  # ended meanwhile
            continue
    return found


def test_a_killed_worker_is_one_line_with_its_studies(chain, tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\nfrom pectl.core.intake import store_study\nfrom pectl.cli.app import main\n"
        "if __name__ == '__main__':\n    main()\n"
        "else:\n    store_study.make_study = lambda *a: os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    (tmp_path / "dying.py").write_text(code)
    command = ["preprocess", chain.dicom, "--out", tmp_path / "s", "--config", chain.config, "--workers", "2"]
    done = subprocess.run(
        [sys.executable, tmp_path / "dying.py", *command, "--quiet"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "study " in done.stderr
    assert "expected all 2 worker processes to live, found one that was killed" in done.stderr
