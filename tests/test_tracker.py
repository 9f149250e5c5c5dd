"""What a user does: one line, one variable, and the calls are in the store. Each in a process of its own."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from rights import CAN_BE_SHUT, SHUT_OUT

import usage_tracker
from usage_tracker import recording, tracker
from usage_tracker.cli.run import BOOTSTRAP
from usage_tracker.demo.standin import StandIn
from usage_tracker.errors import ConfigError
from usage_tracker.sdk_coverage import read_notes

ASK = """
import openai, os
client = openai.OpenAI(api_key="sk-test-0123456789-wxyz", base_url=os.environ["BASE_URL"])
def ask(count=1):
    for _ in range(count):
        client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "x"}])
"""


class Machine:
    """A user's home, a store in it, and programs that run there."""

    def __init__(self, home: Path, provider: StandIn) -> None:
        self.home = home
        self.file = home / "usage.db"
        self.environ = {
            "PATH": os.environ["PATH"],
            "SSL_CERT_FILE": os.environ["SSL_CERT_FILE"],
            "HOME": str(home),
            "BASE_URL": provider.base_url,
            "TRACKER_DSN": f"sqlite:///{self.file}",
            "TRACKER_EXIT_TIMEOUT": "30",  # a busy machine doesn't ship within two seconds
            "PYTHONPATH": str(Path(__file__).parent.parent),
        }

    def start(
        self, script: str, environ: Mapping[str, str] = {}, before: Sequence[str] = ()
    ) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [*before, sys.executable, "-W", "error", "-c", textwrap.dedent(script)],
            env={**self.environ, **environ}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def run(self, script: str, environ: Mapping[str, str] = {}, before: Sequence[str] = ()) -> tuple[str, str]:
        with self.start(script, environ, before) as program:
            output = program.communicate(timeout=60)
        assert program.returncode == 0, output
        return output

    def command(self, *words: str, environ: Mapping[str, str] = {}) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "usage_tracker", *words],
            env={**self.environ, **environ}, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    def stored(self) -> int:
        if not self.file.exists():
            return 0
        connection = sqlite3.connect(self.file)
        try:
            return int(connection.execute("SELECT count(*) FROM events").fetchone()[0])
        except sqlite3.OperationalError:
            return 0
        finally:
            connection.close()


@pytest.fixture
def machine(tmp_path: Path, provider: StandIn) -> Machine:
    return Machine(tmp_path, provider)


@pytest.mark.parametrize(
    "script", [f"import usage_tracker.auto\n{ASK}\nask(3)", f"{ASK}\nimport usage_tracker.auto\nask(3)"]
)
def test_one_line_and_the_calls_are_in_the_report_right_after_the_program_ends(machine: Machine, script: str) -> None:
    assert machine.run(script) == ("", "")
    assert machine.stored() == 3
    report = machine.command("report", "-o", "csv")
    assert report.returncode == 0
    assert "gpt-4o-mini" in report.stdout


def test_a_wrapt_whose_classes_are_not_generic_is_enough(machine: Machine) -> None:
    """They are since 2.2; many a package still asks for an older one."""
    older = "import wrapt; wrapt.FunctionWrapper = type('Older', (wrapt.FunctionWrapper,), {'__class_getitem__': None})"
    ours = "import usage_tracker.auto, usage_tracker.capture.litellm_streams"
    assert machine.run(f"{older}\n{ours}\n{ASK}\nask()") == ("", "")
    assert machine.stored() == 1


def test_without_a_dsn_calls_go_to_the_users_own_file(machine: Machine) -> None:
    machine.run(f"import usage_tracker.auto\n{ASK}\nask(2)", {"TRACKER_DSN": ""})
    assert (machine.home / ".local/share/usage-tracker/usage.db").exists()
    assert "2" in machine.command("report", "-o", "csv", environ={"TRACKER_DSN": ""}).stdout


def test_a_program_with_no_line_at_all_is_run_with_its_calls_recorded(machine: Machine) -> None:
    (machine.home / "app.py").write_text(f"{ASK}\nask(2)\nprint('done')\nraise SystemExit(7)")
    ran = machine.command("run", "--", sys.executable, str(machine.home / "app.py"))
    assert (ran.stdout, ran.stderr, ran.returncode) == ("done\n", "", 7)
    assert machine.stored() == 2


@pytest.mark.parametrize(
    ("end", "status"),
    [
        ("signal.raise_signal(signal.SIGINT)", -signal.SIGINT),
        ("try:\n    signal.raise_signal(signal.SIGINT)\nexcept KeyboardInterrupt:\n    pass", 0),
    ],
)
def test_a_program_dies_of_the_interrupt_that_ends_it(machine: Machine, end: str, status: int) -> None:
    """As without us: by that, a shell's loop knows that it is to end, too."""
    with machine.start(f"import usage_tracker.auto\n{ASK}\nimport signal\nask()\n{end}") as program:
        program.communicate(timeout=60)
    assert program.returncode == status
    assert machine.stored() == 1


def test_an_interpreter_that_lacks_us_runs_the_program_and_is_named(machine: Machine) -> None:
    venv.create(machine.home / "other", symlinks=True)
    python = machine.home / "other/bin/python"
    ran = subprocess.run(
        [python, "-c", "print('done')"], env={"PYTHONPATH": str(BOOTSTRAP)}, capture_output=True, text=True, check=True
    )
    assert ran.stdout == "done\n"
    assert ran.stderr == f"usage-tracker: calls are not recorded: it has to be installed for {python}, too\n"


def test_a_script_that_is_no_program_is_given_to_python(machine: Machine) -> None:
    ran = machine.command("run", "--", "app.py")
    assert ran.stderr.endswith("; say `usage-tracker run -- python app.py`\n")
    assert ran.returncode == 1


@pytest.mark.parametrize(
    ("options", "recorded"),
    [(["-I"], False), (["-uE"], False), (["-W", "error", "-S"], False), (["-u", "-W", "error"], True)],
)
def test_an_interpreter_that_does_not_look_for_us_is_said(machine: Machine, options: list[str], recorded: bool) -> None:
    ran = machine.command("run", "--", sys.executable, *options, "-c", "import sys; print(sys.flags.isolated)")
    assert ran.stderr.startswith("usage-tracker: calls are not recorded: with -") != recorded


@pytest.mark.parametrize("starter", [(), (sys.executable,)])
def test_a_program_packed_by_pex_does_not_look_for_us_and_that_is_said(
    machine: Machine, starter: tuple[str, ...]
) -> None:
    packed = machine.home / "app.pex"
    packed.write_text(f"#!{sys.executable}\nprint('done')")
    packed.chmod(0o755)
    ran = machine.command("run", "--", *starter, str(packed))
    assert ran.stdout == "done\n"
    assert ran.stderr.startswith("usage-tracker: calls are not recorded: a PEX ")


@pytest.mark.timeout(300)  # OpenTelemetry's start imports all that it knows
def test_who_starts_programs_without_us_is_said_and_starts_us(machine: Machine) -> None:
    """OpenTelemetry's own start is found before ours, and no other after it."""
    theirs = str(Path(sys.executable).with_name("opentelemetry-instrument"))
    us, program = [sys.executable, "-m", "usage_tracker", "run", "--"], [sys.executable, "-c", f"{ASK}\nask()"]
    environ = {**machine.environ, **{f"OTEL_{kind}_EXPORTER": "none" for kind in ("TRACES", "METRICS", "LOGS")}}
    said = [
        subprocess.run(command, env=environ, capture_output=True, text=True, check=True, timeout=140).stderr
        for command in ([*us, theirs, *program], [theirs, *us, *program])
    ]
    assert said[0].startswith("usage-tracker: calls are not recorded: ")
    assert "say `opentelemetry-instrument usage-tracker run -- …`" in said[0]
    assert "usage-tracker" not in said[1]
    assert machine.stored() == 1


def test_an_environments_own_sitecustomize_still_runs(machine: Machine) -> None:
    (machine.home / "sitecustomize.py").write_text("import sys; sys.customized = True")
    path = f"{machine.home}{os.pathsep}{machine.environ['PYTHONPATH']}"
    ran = machine.command(
        "run", "--", sys.executable, "-c", "import sys; print(sys.customized)", environ={"PYTHONPATH": path}
    )
    assert (ran.stdout, ran.stderr) == ("True\n", "")


RECORD = """
import multiprocessing, usage_tracker
def note():
    usage_tracker.record(provider="acme", model="m", input_tokens=1)
"""
SPAWN = f"""{RECORD}
if __name__ == "__main__":
    for kind in ("spawn", "forkserver"):
        child = multiprocessing.get_context(kind).Process(target=note)
        child.start()
        child.join()
"""


def test_the_processes_of_joblib_are_part_of_the_program_that_starts_them(machine: Machine) -> None:
    (machine.home / "loky").mkdir()
    (machine.home / "loky" / "popen_loky_posix.py").write_text(f"{RECORD}note()")
    start = "import subprocess, sys; subprocess.run([sys.executable, '-m', 'loky.popen_loky_posix'], check=True)"
    (machine.home / "shop.py").write_text(start)
    environ = {
        "PYTHONPATH": f"{machine.home}{os.pathsep}{machine.environ['PYTHONPATH']}",
        "TRACKER_EXIT_TIMEOUT": "60",
    }
    ran = machine.command("run", "--", sys.executable, str(machine.home / "shop.py"), environ=environ)
    assert (ran.stderr, ran.returncode) == ("", 0)
    assert machine.command("query", "SELECT app FROM events", "-o", "csv").stdout == "app\nshop.py\n"


@pytest.mark.parametrize(
    ("file", "content", "words", "app"),
    [
        ("shop.py", f"{RECORD}note()", ["{home}/shop.py"], "shop.py"),
        ("shop.py", f"{RECORD}note()", ["-m", "shop", "-v"], "shop.py"),
        ("shop/worker.py", f"{RECORD}note()", ["-W", "error", "-um", "shop.worker"], "worker.py"),
        ("shop/__main__.py", f"{RECORD}note()", ["-mshop"], "shop"),
        ("shop.py", SPAWN, ["{home}/shop.py"], "shop.py"),
    ],
    ids=["script", "module", "module of a package", "package", "processes that it spawns"],
)
def test_an_app_has_the_same_name_under_run_as_with_the_line(
    machine: Machine, file: str, content: str, words: list[str], app: str
) -> None:
    environ = {
        "PYTHONPATH": f"{machine.home}{os.pathsep}{machine.environ['PYTHONPATH']}",
        "TRACKER_EXIT_TIMEOUT": "60",
    }
    (machine.home / file).parent.mkdir(exist_ok=True)
    for line in ("", "import usage_tracker.auto\n"):
        (machine.home / file).write_text(line + content)
        program = [sys.executable, *(word.format(home=machine.home) for word in words)]
        if line:
            subprocess.run(program, env={**machine.environ, **environ}, check=True)
        else:
            ran = machine.command("run", "--", *program, environ=environ)
            assert (ran.stderr, ran.returncode) == ("", 0)
    calls = 4 if content is SPAWN else 2
    query = "SELECT app, count(*) AS calls FROM events GROUP BY app"
    assert machine.command("query", query, "-o", "csv").stdout == f"app,calls\n{app},{calls}\n"


def test_importing_loads_no_sdk_driver_prices_or_command_line(machine: Machine) -> None:
    out, _ = machine.run("import usage_tracker.auto, sys; print(*sorted(sys.modules))")
    heavy = {
        "openai",
        "psycopg2",
        "genai_prices",
        "rich",
        "click",
        "sqlite3",
        "wrapt",
        "msgspec",
        "asyncio",
        "pydantic",
    }
    assert heavy & set(out.split()) == set()


def test_a_bad_dsn_fails_an_explicit_install_with_the_valid_forms(machine: Machine) -> None:
    script = "import usage_tracker; usage_tracker.install()"
    with machine.start(script, {"TRACKER_DSN": "mysql://me:geheim@db"}) as program:
        _, err = program.communicate(timeout=60)
    assert program.returncode == 1
    assert "ConfigError: TRACKER_DSN has the unknown scheme 'mysql'; valid forms are postgresql://" in err
    assert "geheim" not in err


def test_an_unknown_setting_is_named(machine: Machine) -> None:
    with machine.start("import usage_tracker; usage_tracker.install(projekt='alpha')") as program:
        _, err = program.communicate(timeout=60)
    assert "ConfigError: install() has no setting 'projekt'; settings are alert_email, " in err


def test_a_bad_dsn_is_logged_by_auto_and_its_events_wait_until_it_is_mended(machine: Machine) -> None:
    script = f"import usage_tracker.auto\n{ASK}\nask(2)"
    _, err = machine.run(script, {"TRACKER_DSN": "mysql://me:geheim@db", "TRACKER_APP": "shop"})
    assert err.count("unknown scheme 'mysql'") == 1
    assert "geheim" not in err
    assert machine.stored() == 0
    machine.run(script, {"TRACKER_APP": "shop"})
    assert machine.stored() == 4


def test_whichever_setting_is_bad_events_wait_for_whom_the_others_say(machine: Machine) -> None:
    script, said = f"import usage_tracker.auto\n{ASK}\nask(2)", {"TRACKER_APP": "shop", "TRACKER_PROJECT": "alpha"}
    _, err = machine.run(script, {**said, "TRACKER_BATCH_SIZE": "many"})
    assert err.count("TRACKER_BATCH_SIZE='many' is not a number of at least 1; until that is mended events wait") == 1
    assert machine.stored() == 0
    machine.run(script, said)
    assert machine.stored() == 4
    report = machine.command("report", "--by", "app,project", "-o", "json")
    [row] = json.loads(report.stdout)["rows"]
    assert (row["app"], row["project"], row["calls"]) == ("shop", "alpha", 4)


def test_a_program_whose_name_is_no_text_is_recorded(machine: Machine) -> None:
    program = os.fsencode(machine.home) + b"/caf\xe9.py"
    with open(program, "w") as file:
        file.write(f"import usage_tracker.auto\n{ASK}\nask(2)")
    subprocess.run([sys.executable, program], env=machine.environ, check=True, timeout=60)
    assert machine.stored() == 2


def test_a_home_whose_name_is_no_text_has_a_store(machine: Machine) -> None:
    home = Path(os.fsdecode(os.fsencode(machine.home) + b"/caf\xe9"))
    home.mkdir()
    machine.run(f"import usage_tracker.auto\n{ASK}\nask(2)", {"HOME": str(home), "TRACKER_DSN": ""})
    machine.file = home / ".local" / "share" / "usage-tracker" / "usage.db"
    assert machine.stored() == 2


@pytest.mark.skipif(not CAN_BE_SHUT, reason="root may enter every folder")
def test_a_program_that_may_not_enter_its_home_is_recorded(machine: Machine, tmp_path: Path) -> None:
    """As one that root has started and that has become another user, whose HOME is still that of root."""
    (home := tmp_path / "of-root").mkdir(mode=0)
    said = machine.run(f"import usage_tracker.auto\n{ASK}\nask(3)", {"HOME": str(home)}, before=SHUT_OUT)
    assert re.fullmatch(r".*can't be written.*Permission denied.*kept in memory.*\n", said[1]), said
    assert machine.stored() == 3


def test_where_nobody_can_be_alerted_events_are_shipped_and_it_is_said(machine: Machine) -> None:
    wrong = {"TRACKER_ALERT_WEBHOOK": "http://example.com/geheim", "TRACKER_SDKS": "openai"}
    _, err = machine.run(f"import usage_tracker.auto\n{ASK}\nask(2)", wrong)
    assert err.count("TRACKER_ALERT_WEBHOOK is http: ") == 1
    assert machine.stored() == 2
    sidecar = machine.command("ship", "--once", environ=wrong)
    assert sidecar.returncode == 0
    assert "until that is mended events are shipped without it." in sidecar.stderr
    doctor = machine.command("doctor", environ=wrong)
    assert doctor.returncode == 5
    assert "→ TRACKER_ALERT_WEBHOOK is http: " in doctor.stdout
    assert "1 problem found." in doctor.stdout, "the store is examined all the same"
    assert "geheim" not in err + sidecar.stderr + doctor.stdout


def test_a_database_that_is_away_delays_nothing_and_its_events_wait(machine: Machine) -> None:
    away = {"TRACKER_DSN": "postgresql://me:geheim@127.0.0.1:9/usage"}
    script = f"""
import time, usage_tracker.auto
{ASK}
ask(); started = time.perf_counter(); ask(50); print(time.perf_counter() - started < 5)"""
    out, err = machine.run(script, away)
    assert out == "True\n"
    assert "51 events wait in" in err
    assert "geheim" not in err
    doctor = machine.command("doctor", environ={**away, "TRACKER_SDKS": "openai"})  # it imports them
    assert doctor.returncode == 5
    assert "51 events" in doctor.stdout
    assert "geheim" not in doctor.stdout + doctor.stderr


def test_events_of_a_wrong_dsn_are_shipped_from_their_folder(machine: Machine) -> None:
    machine.run(f"import usage_tracker.auto\n{ASK}\nask(3)", {"TRACKER_DSN": "postgresql://127.0.0.1:9/usage"})
    folder = next((machine.home / ".local/share/usage-tracker/spool").iterdir())
    shipped = machine.command("ship", "--once", "--from", str(folder))
    assert (shipped.returncode, machine.stored()) == (0, 3)


def test_what_a_killed_program_captured_is_shipped_by_the_next(machine: Machine) -> None:
    script = f"""
import usage_tracker.auto
{ASK}
ask(4); print("asked", flush=True); import time; time.sleep(60)"""
    with machine.start(script, {"TRACKER_SHIP": "off", "TRACKER_SPOOL_DIR": str(machine.home / "spool")}) as program:
        assert program.stdout is not None
        program.stdout.readline()
        program.send_signal(signal.SIGKILL)
    assert machine.stored() == 0
    report = machine.command("report", environ={"TRACKER_SPOOL_DIR": str(machine.home / "spool")})
    assert "4 events wait in the journal" in report.stderr
    machine.run(f"import usage_tracker.auto\n{ASK}\nask()", {"TRACKER_SPOOL_DIR": str(machine.home / "spool")})
    assert machine.stored() == 5


def test_a_sidecar_alone_knows_the_store(machine: Machine) -> None:
    spool = {"TRACKER_SPOOL_DIR": str(machine.home / "spool")}
    with subprocess.Popen(
        [sys.executable, "-m", "usage_tracker", "ship"],
        env={**machine.environ, **spool},
        stderr=subprocess.PIPE,
        text=True,
    ) as sidecar:
        assert sidecar.stderr is not None
        assert sidecar.stderr.readline().startswith("Shipping ")
        script = f"import usage_tracker.auto, usage_tracker\n{ASK}\nask(5); print(usage_tracker.flush(30))"
        out, err = machine.run(script, {**spool, "TRACKER_DSN": "", "TRACKER_SHIP": "off"})
        assert (out, err) == ("True\n", "")
        assert machine.stored() == 5
        sidecar.send_signal(signal.SIGTERM)
        assert sidecar.stderr.read() == f"5 events shipped to sqlite:///{machine.file}.\n"
    assert sidecar.returncode == 0


def test_forked_children_and_their_parent_are_counted_each_once(machine: Machine) -> None:
    script = f"""
import usage_tracker.auto
{ASK}
ask(3)
children = []
for _ in range(4):
    child = os.fork()
    if child == 0:
        client = openai.OpenAI(api_key="sk-test-0123456789-wxyz", base_url=os.environ["BASE_URL"])
        ask(5); os._exit(0)
    children.append(child)
for child in children: os.waitpid(child, 0)
ask(2)"""
    assert machine.run(script) == ("", "")
    assert machine.stored() == 25


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing_children_are_counted(machine: Machine, method: str) -> None:
    (machine.home / "app.py").write_text(
        f"import usage_tracker.auto\nimport multiprocessing\n{ASK}\n"
        "if __name__ == '__main__':\n"
        f"    context = multiprocessing.get_context({method!r})\n"
        "    workers = [context.Process(target=ask, args=(3,)) for _ in range(2)]\n"
        "    [worker.start() for worker in workers]; [worker.join() for worker in workers]\n"
    )
    ran = subprocess.run(
        [sys.executable, str(machine.home / "app.py")], env=machine.environ, capture_output=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert machine.stored() == 6


HALF = """
def ask_half():
    global stream
    stream = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}], stream=True)
    next(stream)
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("where", ["in the child", "in a child of the child"])
def test_an_open_stream_is_an_event_at_the_end_of_a_multiprocessing_child(
    machine: Machine, method: str, where: str
) -> None:
    child = "ask_half" if where == "in the child" else "begin_another"
    (machine.home / "app.py").write_text(
        f"import usage_tracker.auto\nimport multiprocessing\n{ASK}\n{HALF}\n"
        "def begin_another():\n"
        "    other = context.Process(target=ask_half); other.start(); other.join()\n"
        f"context = multiprocessing.get_context({method!r})\n"
        "if __name__ == '__main__':\n"
        f"    child = context.Process(target={child}); child.start(); child.join()\n"
    )
    ran = subprocess.run(
        [sys.executable, str(machine.home / "app.py")], env=machine.environ, capture_output=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, b"")
    machine.command("ship", "--once")
    assert machine.stored() == 1


@pytest.mark.parametrize(
    "ending", ["", "raise SystemExit(0)", "import threading; threading.Thread(target=ask).start()"]
)
def test_a_normal_exit_ships_what_is_left(machine: Machine, ending: str) -> None:
    machine.run(f"import usage_tracker.auto\n{ASK}\nask(2)\n{ending}")
    assert machine.stored() == 2 + ("thread" in ending)


@pytest.mark.skipif(sys.version_info[:2] == (3, 13), reason="3.13 crashes at the end of such a program by itself")
def test_an_open_stream_is_an_event_at_exit(machine: Machine) -> None:
    machine.run(
        f"import usage_tracker.auto\n{ASK}\n"
        "stream = client.chat.completions.create(model='m', messages=[{'role': 'user', 'content': 'x'}], stream=True)\n"
        "next(stream)",
    )
    if (3, 12) <= sys.version_info < (3, 12, 2):  # no thread starts at exit there, and the next process ships the event
        machine.command("ship", "--once")  # https://github.com/python/cpython/issues/113964
    assert machine.stored() == 1


KEPT = """
import asyncio, logging
asked = dict(model="gpt-4o-mini", messages=[{"role": "user", "content": "x"}], stream=True)
async def begun():
    aclient = openai.AsyncOpenAI(api_key="sk-test-0123456789-wxyz", base_url=os.environ["BASE_URL"])
    stream = await aclient.chat.completions.create(**asked)
    await anext(stream)
    return stream
completions = client.chat.completions
logging.kept = [  # a module that goes after all others
    completions.create(**asked),
    completions.with_raw_response.create(**asked),
    completions.with_streaming_response.create(**asked).__enter__(),
    asyncio.run(begun()),
]
next(logging.kept[0])
"""


def test_streams_that_outlive_all_modules_go_in_silence(machine: Machine) -> None:
    with machine.start(f"import usage_tracker.auto\n{ASK}{KEPT}", {"TRACKER_SHIP": "off"}) as program:
        _, said = program.communicate(timeout=60)
    assert str(Path(usage_tracker.__file__).parent) not in said


@pytest.mark.parametrize("budgets", ["on", "off"])
def test_beside_a_sidecar_a_program_says_which_sdks_it_has(machine: Machine, budgets: str) -> None:
    spool = machine.home / "spool"
    wait = f"""
import glob, time
latest = time.monotonic() + 30
while not glob.glob("{spool}/sdks-*.json") and time.monotonic() < latest:
    time.sleep(0.01)
"""
    environ = {"TRACKER_SHIP": "off", "TRACKER_SPOOL_DIR": str(spool), "TRACKER_BUDGETS": budgets}
    machine.run(f"import usage_tracker.auto\n{ASK}\nask()\n{wait}", environ)
    assert [sdk.name for sdk in read_notes(spool)] == ["openai"]


def test_exit_is_bounded_while_the_database_hangs(machine: Machine) -> None:
    import socket

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        dsn = f"postgresql://127.0.0.1:{silent.getsockname()[1]}/usage?connect_timeout=100"
        bounded = {"TRACKER_DSN": dsn, "TRACKER_EXIT_TIMEOUT": "0.3"}
        said, _ = machine.run(f"import usage_tracker.auto, time\n{ASK}\nask(); print(time.monotonic())", bounded)
    assert time.monotonic() - float(said) < 40


def test_a_recorded_call_of_no_sdk_is_stored(machine: Machine) -> None:
    machine.run(
        "import usage_tracker; usage_tracker.install()\n"
        "usage_tracker.record(provider='openai', model='gpt-4o-mini', input_tokens=1000, output_tokens=10)\n"
        "assert usage_tracker.flush(30)\nassert usage_tracker.stats()[:4] == (1, 1, 0, 0), usage_tracker.stats()"
    )
    assert "gpt-4o-mini" in machine.command("report", "-o", "csv").stdout
    [row] = json.loads(machine.command("report", "-o", "json").stdout)["rows"]
    assert (row["output_tokens"], row["mean_duration_ms"]) == (10, None), "nobody said how long it took"


def test_a_second_install_that_is_refused_leaves_the_first_at_work(machine: Machine) -> None:
    machine.run(
        f"import usage_tracker\n{ASK}\nusage_tracker.install()\nask()\n"
        "try:\n    usage_tracker.install(sdks=['opnai'])\nexcept usage_tracker.ConfigError:\n    ask()\n"
        "assert usage_tracker.flush(30), usage_tracker.stats()\nassert usage_tracker.stats().stored == 2"
    )


def test_an_sdk_that_is_asked_for_by_name_has_to_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"names 'opnai'; known SDKs are .*openai"):
        usage_tracker.install(ship=False, spool_dir=tmp_path, sdks=["opnai"])
    monkeypatch.setattr(tracker, "version_of", lambda sdk: None)
    with pytest.raises(ConfigError, match="names 'openai', which is not installed: pip install openai"):
        usage_tracker.install(ship=False, spool_dir=tmp_path, sdks=["openai"])
    assert tracker.installed is None


def test_a_daemon_whose_parent_exits_keeps_its_events(machine: Machine) -> None:
    """SQLite's locks don't survive a fork; the file must not be open across one."""
    script = f"""
import usage_tracker.auto, usage_tracker, time
{ASK}
ask(20); usage_tracker.flush(30)
if os.fork() == 0:
    client = openai.OpenAI(api_key="sk-test-0123456789-wxyz", base_url=os.environ["BASE_URL"])
    time.sleep(1)
    ask(10); usage_tracker.flush(30); time.sleep(0.5)
    ask(10); assert usage_tracker.flush(30)
    open(os.environ["HOME"] + "/done", "w").close()
"""
    machine.run(script)
    deadline = time.monotonic() + 30
    while not (machine.home / "done").exists():
        assert time.monotonic() < deadline
        machine.stored()
        time.sleep(0.05)
    time.sleep(0.3)
    assert machine.stored() == 40


def test_a_call_that_is_open_at_a_fork_is_the_parents(machine: Machine) -> None:
    machine.run(f"""
import usage_tracker.auto
{ASK}
stream = client.chat.completions.create(model="m", messages=[{{"role": "user", "content": "x"}}], stream=True)
next(stream)
child = os.fork()
if child == 0:
    raise SystemExit(0)
os.waitpid(child, 0)
list(stream)""")
    assert machine.stored() == 1


@pytest.mark.parametrize("ship", ["on", "off"])
def test_a_child_that_was_forked_in_a_thread_ends_with_it(machine: Machine, ship: str) -> None:
    machine.run("""
        import os, threading
        import usage_tracker.auto

        def record():
            usage_tracker.record(provider="openai", model="gpt-4o-mini", input_tokens=1)

        def fork():
            child = os.fork()
            if child == 0:
                record()
            else:
                assert os.waitpid(child, 0) == (child, 0)

        record()
        forking = threading.Thread(target=fork)
        forking.start()
        forking.join()
    """, {"TRACKER_SHIP": ship})  # fmt: skip
    assert machine.command("ship", "--once").returncode == 0
    assert machine.stored() == 2


AT_EVERY_STEP = """
import re
import signal
import usage_tracker
from usage_tracker import app_costs, enforcing, patching, pipeline, shipping

def handle(*_):
    if busy:
        return
    busy.append(True)
    usage_tracker.record(provider="openai", model="gpt-4o-mini", input_tokens=1)
    with usage_tracker.measure() as measured:
        usage_tracker.record(provider="openai", model="gpt-4o-mini", input_tokens=1)
    assert (measured.calls, measured.cost) is not None
    usage_tracker.install(batch_size=77)
    usage_tracker.uninstall()
    usage_tracker.install()
    busy.clear()

def signalled(owner, name):
    function = getattr(owner, name)
    def first_a_signal(*args, **kwargs):
        signal.raise_signal(signal.SIGUSR1)
        return function(*args, **kwargs)
    setattr(owner, name, first_a_signal)

busy = []
signal.signal(signal.SIGUSR1, handle)
for owner, name in ((patching.Patches, "apply"), (patching.Patches, "revert"), (pipeline.Pipeline, "__init__"),
        (shipping.Shipping, "start"), (app_costs.AppCosts, "_look"), (enforcing.Enforcing, "look")):
    signalled(owner, name)
usage_tracker.install()
with usage_tracker.measure() as measured:
    usage_tracker.record(provider="openai", model="gpt-4o-mini", input_tokens=1)
assert (measured.calls, measured.cost) is not None
usage_tracker.uninstall()
"""


def test_a_signal_handler_may_do_at_any_step_what_the_app_does(machine: Machine) -> None:
    machine.run(AT_EVERY_STEP)


def test_a_process_whose_first_call_was_interrupted_ships_with_the_next(machine: Machine) -> None:
    machine.run("""
        import usage_tracker
        from usage_tracker import shipping

        start_lasting = shipping.start_lasting
        def interrupted(*args):
            shipping.start_lasting = start_lasting
            raise KeyboardInterrupt
        shipping.start_lasting = interrupted
        usage_tracker.install()
        try:
            usage_tracker.record(provider="openai", model="gpt-4o-mini", input_tokens=1)
        except KeyboardInterrupt:
            usage_tracker.record(provider="openai", model="gpt-4o-mini", input_tokens=1)
            assert usage_tracker.flush(30)
    """)
    assert machine.stored() == 2


def test_nothing_installed_means_nothing_to_flush() -> None:
    assert tracker.flush()
    assert tracker.stats().captured == 0
    recording.record(provider=None, model=None)
    tracker.uninstall()


@pytest.mark.timeout(20)
def test_a_flush_ends_where_the_clock_stands_still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in an app's tests, by freezegun."""
    usage_tracker.install(ship=False, spool_dir=tmp_path / "spool")
    recording.record(provider=None, model=None)
    with monkeypatch.context() as frozen:
        began = time.perf_counter()
        frozen.setattr(time, "monotonic", lambda: 1.0)
        frozen.setattr(time, "sleep", lambda seconds: None)
        assert not tracker.flush(0.05)
        assert time.perf_counter() - began > 0.05
    usage_tracker.uninstall()


@pytest.mark.parametrize("others", [1, 1000])
def test_what_other_threads_record_meanwhile_is_not_taken_for_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others: int
) -> None:
    usage_tracker.install(ship=False, spool_dir=tmp_path / "spool")
    assert tracker.installed
    journal = tracker.installed.pipeline().journal
    pending = journal.pending

    def overtaken() -> int:
        if journal.captured() < others:
            usage_tracker.record(provider="acme", model="acme-7b", input_tokens=1)
        return pending()

    monkeypatch.setattr(journal, "pending", overtaken)
    found = usage_tracker.stats()
    usage_tracker.uninstall()
    assert found.captured == found.pending > 0
    assert found.stored == 0
