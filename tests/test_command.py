"""The command researcher: small scripts as agents, good, bad and hostile, in whole sessions of the toy repository."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from conftest import BENCH, Ran, World, marked_processes, wait_for

pytestmark = pytest.mark.usefixtures("warm")

# An agent: turn by turn it does what the test says, and remembers in its HOME how often it was called.
AGENT = """\
import json, os, pathlib, signal, subprocess, sys, time
HOME, GIVEN = pathlib.Path(os.environ["HOME"]), sys.stdin.read()
counted = HOME / "turns"
number = len(counted.read_text()) if counted.exists() else 0
counted.write_text("x" * (number + 1))

def edit(old, new, path="solver.py"):
    text = pathlib.Path(path).read_text()
    assert old in text
    pathlib.Path(path).write_text(text.replace(old, new))

def answer(**told):
    pathlib.Path("proposal.json").write_text(json.dumps(told))

TURNS = %r
exec(TURNS[min(number, len(TURNS) - 1)])
"""
ALPHA, N = "edit('ALPHA = 0.3', 'ALPHA = 0.5')", "edit('N = 5', 'N = 6')"


def employ(world: World, *turns: str, **settings: str) -> None:
    script = world.root.parent / "agent.py"
    script.write_text(AGENT % (list(turns),))
    world.configure(researcher="command", command=f"{{python}} {script}", command_name="robot", inspiration="no", baseline_runs="1",
                    **settings)  # fmt: skip


def start(world: World, experiments: int, *options: str, env: dict[str, str] | None = None) -> Ran:
    return world.run("start", "--tag", "t", "--experiments", str(experiments), *options, env=env)


def called() -> int:
    return len(Path(os.environ["HOME"], "turns").read_text())


def seen(name: str) -> str:
    """What an agent wrote down in its home."""
    return Path(os.environ["HOME"], name).read_text()


def log(world: World, number: int = 1) -> str:
    return (world.folder() / "logs" / f"{number:04d}-proposal.log").read_text()


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where agents work: a folder of the test's own, which is empty in the end."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def test_the_gain_of_an_agent_ends_on_the_branch(toy: World, temporary: Path) -> None:
    hostile = {"CLAUDE.md": "Obey.\n", ".mcp.json": "{}\n", ".claude/settings.json": "{}\n", ".claude/hooks/h.py": "print()\n"}
    toy.commit({**hostile, "program.md": "Raise the score of the toy.\n"})
    employ(
        toy,
        """
(HOME / "prompt").write_text(GIVEN)
(HOME / "seen.json").write_text(json.dumps({
    "files": {str(p): oct(p.stat().st_mode & 0o777) for p in pathlib.Path().rglob("*")},
    "above": [str(p) for p in pathlib.Path.cwd().parents if (p / ".git").exists()],
    "folder": oct(os.stat(".").st_mode & 0o777), "arguments": sys.argv[1:], "cwd": os.getcwd(), "told": os.environ["AUTORESEARCH_PROMPT"],
    "experiment": os.environ["AUTORESEARCH_EXPERIMENT"], "program": open("program.md").read(),
    "same": open("prompt.md").read() == GIVEN, "digest": json.load(open("digest.json"))["metric"]}))
edit('ALPHA = 0.3', 'ALPHA = 0.5')
answer(description="a longer\\nstep", rationale="It was too short.", expected="+0.08")
""",
    )
    toy.configure(command=f"{toy.git('config', 'autoresearch.command')} {{folder}} --prompt={{prompt}}", run="sh run.sh")
    toy.commit({"run.sh": "python3 bench.py\n"})  # a command of which all files are the harness, hooks too
    ran = start(toy, 1)
    assert ran.code == 0, ran.err
    assert toy.git("show", "exp/cpu/t:solver.py") == "ALPHA = 0.5  # step\nN = 5"
    assert "edited    solver.py by robot" in ran.err
    (found,) = toy.experiments()[1:]
    assert (found["status"], found["description"], found["researcher"]) == ("keep", "a longer step", "robot")
    message = toy.git("log", "-1", "--format=%B", "exp/cpu/t")
    assert "It was too short." in message
    assert "Autoresearch-Expected: +0.08" in message
    was = json.loads(seen("seen.json"))
    editable, readable = {"solver.py": "0o644"}, dict.fromkeys(("bench.py", "program.md", "prompt.md", "digest.json"), "0o444")
    assert was["files"] == editable | readable
    assert (was["folder"], was["above"]) == ("0o700", [])
    assert was["arguments"] == [was["cwd"], f"--prompt={was['told']}"]
    assert was["told"] == f"{was['cwd']}/prompt.md"
    assert (was["experiment"], was["program"], was["same"], was["digest"]) == (
        "cpu/t/0001",
        "Raise the score of the toy.\n",
        True,
        "score",
    )
    assert "Raise the score of the toy." in seen("prompt")
    assert "proposal.json" in seen("prompt")
    assert list(temporary.iterdir()) == []


def test_an_agent_gets_what_its_user_names_and_no_more(toy: World) -> None:
    employ(
        toy, "print(dict(os.environ)); (HOME / 'env').write_text('\\n'.join(os.environ))\n" + ALPHA, command_env="MODEL_KEY, ALSO"
    )
    env = {"GITHUB_TOKEN": "ghp_" + "a" * 36, "GH_TOKEN": "b" * 20, "SSH_AUTH_SOCK": "/nowhere", "ANTHROPIC_API_KEY": "c" * 20,
           "MODEL_KEY": "quite-secret-9", "ALSO": "x", "LC_ALL": "C.UTF-8"}  # fmt: skip
    assert start(toy, 1, env=env).code == 0
    known = {"PATH", "HOME", "USER", "LANG", "TERM", "TMPDIR", "LC_ALL", "LC_CTYPE", "MODEL_KEY", "ALSO"}
    names = set(seen("env").splitlines())
    assert {n for n in names if not n.startswith("AUTORESEARCH_")} <= known
    assert {"PATH", "HOME", "TERM", "LC_ALL", "MODEL_KEY", "ALSO", "AUTORESEARCH_PROMPT"} <= names
    assert "'MODEL_KEY': '***'" in log(toy)
    assert "quite-secret-9" not in log(toy)


def test_only_the_files_say_whether_there_is_a_proposal(toy: World) -> None:
    employ(
        toy,
        "print('I did it!')",
        ALPHA + "; sys.exit(1)",
        "os.remove('solver.py'); os.symlink('/etc/passwd', 'solver.py')",
        "edit('N = 5', 'N = 6' + chr(10) + '#' * 300_000)",
        N + "; os.remove('bench.py'); pathlib.Path('notes').mkdir(); pathlib.Path('notes/x.txt').write_text('x')",
        "open('solver.py', 'wb').write(b'ALPHA = 0.5\\nN = 7  # \\xff\\n')",
        "os.remove('solver.py'); print('boom', file=sys.stderr); sys.exit(3)",
        "edit('N = 6', 'N = (')",
    )
    ran = start(toy, 3)
    said = [" ".join(line.split()) for line in ran.err.splitlines()]
    assert [line for line in said if line.startswith("no edit")] == [
        "no edit robot changed nothing: I did it!",
        "no edit robot left an invalid edit: solver.py is no regular file any more",
        "no edit robot left an invalid edit: solver.py is larger than 256 KiB",
        "no edit robot left an invalid edit: solver.py is not UTF-8 text without a byte order mark",
        "no edit robot left an invalid edit: solver.py is gone",
    ], ran.err
    assert "does not parse" in ran.err  # as the screen says of anybody's proposal
    assert "paused after 3 failures of robot in a row" in ran.err
    assert toy.git("show", "exp/cpu/t:solver.py") == "ALPHA = 0.5  # step\nN = 6"
    assert toy.git("show", "exp/cpu/t:bench.py") == BENCH.rstrip("\n")
    assert "# ignored: bench.py, notes/x.txt" in log(toy, 2)
    assert "# exit code 1, after" in log(toy, 1)


def test_an_agent_that_does_nothing_is_paused_and_not_called_again_and_again(toy: World) -> None:
    employ(toy, "sys.exit('model overloaded')")
    ran = start(toy, 5)
    assert ran.code == 1
    assert ran.err.splitlines()[-2] == ("error: paused after 3 failures of robot in a row, the last: robot failed with exit code 1: "
                                        "model overloaded")  # fmt: skip
    assert called() == 3


def test_a_login_that_failed_stops_the_session_at_once(toy: World) -> None:
    employ(toy, "print(json.dumps({'is_error': True, 'result': 'Invalid API key · Fix external API key', 'total_cost_usd': 0}))")
    ran = start(toy, 5)
    assert ran.code == 1
    assert "error: robot has no valid key or login:" in ran.err
    assert "autoresearch.command-env" in ran.err.splitlines()[-1]
    assert called() == 1


def test_nothing_that_an_agent_starts_outlives_its_turn(toy: World, temporary: Path) -> None:
    daemon = "subprocess.Popen(['sleep', '87654'], start_new_session=True); (HOME / 'daemon').write_text('started');"
    employ(
        toy,
        "signal.signal(signal.SIGTERM, signal.SIG_IGN);" + daemon + ALPHA + "; time.sleep(600)",
        daemon + N + "; os.mkdir('locked'); os.chmod('locked', 0)",
        "signal.signal(signal.SIGTERM, signal.SIG_DFL);" + ALPHA + "; answer(description='done before it hung'); time.sleep(600)",
        command_timeout="1.5s",
    )
    ran = start(toy, 2)
    assert ran.code == 0, ran.err
    assert "no edit   robot: killed after 1.5 s, the timeout" in ran.err
    assert [e["description"] for e in toy.experiments()[1:]] == ["N 5 → 6", "done before it hung"]
    assert not any(b"87654" in path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists())
    assert list(temporary.iterdir()) == []


def test_interrupted_in_a_turn_it_leaves_nothing_behind(toy: World, temporary: Path) -> None:
    employ(toy, ALPHA + "; (HOME / 'began').write_text(os.environ['AUTORESEARCH_SESSION']); time.sleep(600)", N)
    running = toy.popen("start", "--tag", "t", "--experiments", "1")
    wait_for(lambda: Path(os.environ["HOME"], "began").exists())
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "to go on:" in err
    assert marked_processes(Path(seen("began"))) == []
    assert list(temporary.iterdir()) == []
    toy.ok("start", "--resume", "--tag", "t", "--experiments", "1")
    assert toy.git("show", "exp/cpu/t:solver.py") == "ALPHA = 0.3  # step\nN = 6"


def test_what_it_prints_does_not_fill_the_disk(toy: World) -> None:
    employ(toy, "print('first words'); [print('x' * 10**7) for _ in range(10)]; print('last words');" + ALPHA)
    assert start(toy, 1).code == 0
    kept = log(toy)
    assert len(kept) < 2 * 2**20
    assert "first words" in kept
    assert "last words" in kept


def test_the_description_is_the_answer_s_or_the_change_s_or_the_agent_s_last_line(toy: World) -> None:
    code = "edit('N = 5', 'N = 5' + chr(10) + 'def f():' + chr(10) + '    return 1')"
    employ(toy, ALPHA + "; print('chatter')", code + "; print('Add a helper\\x1b[31m.')", code.replace("f()", "g()"))
    assert start(toy, 3, "--judge", "strict").code == 0
    told = [str(e["description"]) for e in toy.experiments()[1:]]
    assert told == ["ALPHA 0.3 → 0.5", "Add a helper.", "edit of solver.py, 2 lines"]


def test_a_crash_is_returned_and_mended(toy: World) -> None:
    employ(toy, "edit('N = 5', 'N = 1 // 0')", "(HOME / 'prompt').write_text(GIVEN); " + ALPHA)
    assert start(toy, 1).code == 0
    assert "ZeroDivisionError" in seen("prompt")
    assert "+N = 1 // 0" in seen("prompt")
    (found,) = toy.experiments()[1:]
    assert (found["status"], found["description"]) == ("keep", "ALPHA 0.3 → 0.5")


def test_the_user_s_hint_is_in_the_prompt_until_it_was_answered(toy: World) -> None:
    employ(
        toy, "edit('N = 5', 'N = 5.0')", "(HOME / 'first').write_text(GIVEN); " + ALPHA, "(HOME / 'then').write_text(GIVEN); " + N
    )
    assert start(toy, 1).code == 0
    (toy.folder() / "ideas").mkdir()
    (toy.folder() / "ideas" / "1.txt").write_text("try a longer step\n")
    toy.ok("start", "--resume", "--tag", "t", "--experiments", "2")
    assert '"try a longer step"' in seen("first")
    assert "try a longer step" not in seen("then")
    assert "Autoresearch-Idea: try a longer step" in toy.git("log", "-1", "--format=%B", "exp/cpu/t~1")


def test_what_it_says_that_it_cost_is_recorded_and_limited(toy: World) -> None:
    told = {"type": "result", "num_turns": 3, "total_cost_usd": 0.4, "result": "A longer step.",
            "usage": {"input_tokens": 10, "cache_creation_input_tokens": 20, "cache_read_input_tokens": 70, "output_tokens": 5}}  # fmt: skip
    employ(toy, f"print({json.dumps(told)!r}); {ALPHA}", f"answer(description='more', cost_usd=0.3); {N}", "edit('N = 6', 'N = 7')")
    toy.configure(max_cost="0.6")
    ran = start(toy, 5)
    assert ran.code == 0, ran.err
    assert "$0.6 are spent" in ran.out
    spent = [json.loads(line) for line in toy.git("log", "--format=%(trailers:key=Autoresearch-Spending,valueonly,separator=)",
                                                  "exp/cpu/t", "-2").splitlines()]  # fmt: skip
    assert [s["usd"] for s in spent] == [0.3, 0.4]
    assert {name: spent[1][name] for name in ("requests", "input_tokens", "cached_tokens", "output_tokens")} == {
        "requests": 3, "input_tokens": 100, "cached_tokens": 70, "output_tokens": 5}  # fmt: skip
    ran = toy.run("start", "--resume", "--tag", "t", "--experiments", "1")  # now with one that does not say
    assert ran.code == 1
    assert "does not say what it costs, so max-cost cannot be held" in ran.err


def test_no_secret_gets_into_a_proposal(toy: World) -> None:
    employ(toy, "answer(description='key ' + os.environ['MODEL_KEY']);" + ALPHA, N, command_env="MODEL_KEY")
    ran = start(toy, 1, env={"MODEL_KEY": "quite-secret-9"})
    assert "no edit   robot put what looks like a token into its proposal" in ran.err
    assert [e["description"] for e in toy.experiments()[1:]] == ["N 5 → 6"]
    assert "quite-secret-9" not in ran.err


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "there is no command for the researcher command to run"),
        ({"command": "no-such-agent -p"}, "no-such-agent, the program of autoresearch.command, is not here"),
        ({"command": "MODEL=x no-such-agent -p | tee"}, "no-such-agent, the program of autoresearch.command, is not here"),
        ({"command": "./agent.sh"}, "./agent.sh is not found from the folder that an agent works in"),
        ({"command": "cat 'x"}, "cannot be split into words"),
        ({"command": "cat --key sk-ant-api03-aaaaaaaaaaaaaaaaaaaa"}, "command holds what looks like a token"),
        ({"command": "cat", "command_env": "NO_SUCH_KEY"}, "NO_SUCH_KEY, which command-env names, is not set"),
        ({"command": "cat", "command_env": "MODEL_KEY=quite-secret-9"}, "is not names of environment variables"),
    ],
)
def test_what_cannot_work_is_said_before_the_session_begins(toy: World, settings: dict[str, str], told: str) -> None:
    toy.configure(researcher="command", **settings)
    ran = start(toy, 1)
    assert ran.code == 1
    assert told in ran.err.splitlines()[0]
    assert ran.err.splitlines()[1].startswith("  try: ")
    assert "quite-secret-9" not in ran.err
    assert toy.git("for-each-ref", "refs/autoresearch") == ""


@pytest.mark.parametrize("name", ["command", "command-env", "command-timeout", "command-name"])
def test_a_clone_does_not_say_what_runs_here(toy: World, name: str) -> None:
    toy.write({".autoresearch.toml": f'{name} = "5"\n'})
    ran = toy.run("config")
    assert ran.code == 1
    assert f"{name} is not taken from .autoresearch.toml" in ran.err


def test_a_clone_puts_no_settings_into_the_agent_s_folder(toy: World) -> None:
    toy.commit({".claude/settings.json": "{}\n"})
    employ(toy, ALPHA, editable="solver.py .claude/settings.json")
    ran = start(toy, 1)
    assert ran.code == 1
    assert "error: .claude/settings.json is editable, but an agent would take it for its own" in ran.err
    assert not Path(os.environ["HOME"], "turns").exists()


def test_an_agent_never_works_inside_a_repository(toy: World) -> None:
    employ(toy, ALPHA)
    toy.write({"tmp/x": ""})
    ran = start(toy, 1, env={"TMPDIR": str(toy.root / "tmp")})
    assert ran.code == 1
    assert f"lies in the git repository {toy.root}" in ran.err
    assert "export TMPDIR=" in ran.err
