"""What a run may see, and how its output becomes a number or a reason."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import World

from autoresearch_git.lab import machine, outcome, process
from autoresearch_git.lab.trial import parse_progress

pytestmark = pytest.mark.usefixtures("warm")

BLOCK = "---\nval_bpb:          0.997900\ntraining_seconds: 300.1\npeak_vram_mb:     45060.2\nnum_steps:        953\n"


def test_upstreams_summary_is_read_whole() -> None:
    found = outcome.parse_summary("step 1\rstep 2\n" + BLOCK, "val_bpb")
    assert (found.value, found.crash) == (0.9979, "")
    assert found.figures == {"training_seconds": 300.1, "peak_vram_mb": 45060.2, "num_steps": 953.0}


@pytest.mark.parametrize(
    ("output", "crash"),
    [
        ("", "the run printed no val_bpb"),
        ("loss: 3\n", "the run printed no val_bpb"),
        ("val_bpb: 1\nval_bpb: 2\n", "the run printed val_bpb 2 times, not once"),
        (BLOCK + BLOCK, "2 summary blocks with val_bpb, not one"),
        ("---\ntraining_seconds: 3\n", "the summary has no val_bpb"),
        ("---\nval_bpb: nan\n", "val_bpb is nan"),
        ("---\nval_bpb: inf\n", "val_bpb is inf"),
        ("val_bpb: -inf\n", "val_bpb is -inf"),
        ("val_bpb: FAIL\n", "val_bpb is not a number: FAIL"),
    ],
)
def test_what_is_no_number_is_a_crash_with_a_reason(output: str, crash: str) -> None:
    found = outcome.parse_summary(output, "val_bpb")
    assert (found.value, found.crash) == (None, crash)


@pytest.mark.parametrize(
    ("text", "value"),
    [("score: 0.83", 0.83), ("score:   1,024", 1024), ("score: 93.5%", 93.5), ("score: -1e-3", -0.001)],
)
def test_one_metric_line_is_enough(text: str, value: float) -> None:
    assert outcome.parse_summary(f"hello\n{text}\nbye\n", "score").value == value


def test_the_harness_wins_and_is_cross_checked() -> None:
    channel = outcome.parse_channel('{"val_bpb": 0.99790012, "num_steps": 953, "data": "sha256:x"}\n', "val_bpb")
    both = outcome.combine(channel, outcome.parse_summary(BLOCK, "val_bpb"), "val_bpb")
    assert (both.value, both.channel, both.figures["data"]) == (0.99790012, "harness", "sha256:x")
    lied = outcome.combine(channel, outcome.parse_summary(BLOCK.replace("0.997900", "0.9"), "val_bpb"), "val_bpb")
    assert lied.crash == "the run printed val_bpb 0.900000, the harness measured 0.997900"
    assert lied.value is None


@pytest.mark.parametrize(("text", "crash"), [("", "the evaluation ran 0 times, not once"), ('{"val_bpb":1}\n{"val_bpb":2}\n', "the evaluation ran 2 times, not once"),
                                             ("not json\n", "the harness channel has no val_bpb"), ('{"val_bpb": NaN}\n', "val_bpb is nan")])  # fmt: skip
def test_a_channel_that_does_not_hold(text: str, crash: str) -> None:
    assert outcome.parse_channel(text, "val_bpb").crash == crash


@pytest.mark.parametrize(
    ("figures", "wrong"),
    [
        ({"training_seconds": 300.1}, ""),
        ({"training_seconds": 340}, "overran: trained for 340 s of 300 s"),
        ({"training_seconds": 100}, ""),  # printed by the edited file: proves nothing
        ({"training_seconds": 100, "budget_seconds": 300}, "ended early: trained for 100 s of 300 s"),
        ({"budget_seconds": 300}, "the run never used the harness's clock"),
        ({"training_seconds": 299, "budget_seconds": 300}, "claims 299 s of training in 200.0 s"),
        ({"training_seconds": 9, "budget_seconds": 300, "num_steps": 160, "planned_steps": 160}, ""),
        ({"num_steps": 80, "planned_steps": 160}, "ended early: 80 of 160 steps"),
        ({}, ""),
    ],
)
def test_a_run_must_use_its_budget_and_no_more(figures: dict[str, float], wrong: str) -> None:
    assert outcome.check_budget(figures, 300, 200.0 if figures.get("training_seconds") == 299 else 350.0) == wrong


def test_the_last_traceback_is_kept_and_its_last_line_is_the_reason() -> None:
    output = "step 1 (1%)\rstep 2 (2%)\nTraceback (most recent call last):\n  File \"a\"\nValueError: first\nmore\r" \
             "Traceback (most recent call last):\n  File \"b\"\ntorch.OutOfMemoryError: CUDA out of memory\n"  # fmt: skip
    reason, text = outcome.crash_reason(output, 1)
    assert reason == "exit code 1: torch.OutOfMemoryError: CUDA out of memory"
    assert text.startswith('Traceback (most recent call last):\n  File "b"')
    assert "first" not in text
    assert outcome.crash_reason("x\n", -9)[0] == "killed by signal 9: x"


def test_progress_is_read_from_a_line_drawn_over_itself() -> None:
    line = "step 00410 (43.0%) | loss: 3.141593 | lrm: 1.00 | dt: 315ms | tok/sec: 1,664,406 | mfu: 39.8% | epoch: 1 | remaining: 171s    "
    found = parse_progress(f"Vocab size: 8,192\n\rstep 00409 (42.9%)\r{line}", 12.0)
    assert (found.step, found.fraction, found.loss, found.tokens_per_second, found.seconds_left) == (
        410,
        0.43,
        3.141593,
        1664406,
        171.0,
    )
    assert parse_progress("downloading 40% of it\n", 1.0).fraction is None


@pytest.mark.parametrize(
    "name",
    ["GIT_DIR", "GITHUB_TOKEN", "GH_TOKEN", "ANTHROPIC_API_KEY", "AWS_SECRET_ACCESS_KEY", "MY_PASSWORD", "SSH_AUTH_SOCK", "HF_TOKEN",
     "DEPLOY_KEY", "npm_config__auth_token", "AUTORESEARCH_METRIC", "GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN", "GH_HOST",
     "GH_CONFIG_DIR", "GITHUB_API_URL", "AUTORESEARCH_API_URL", "AUTORESEARCH_HUB"],
)  # fmt: skip
def test_secrets_and_git_variables_do_not_reach_a_run(name: str) -> None:
    assert process.scrubbed({name: "x", "PATH": "/bin"}) == {"PATH": "/bin"}


def test_a_token_is_known_by_its_shape_too() -> None:
    kept = {
        "TOKENIZERS_PARALLELISM": "false",
        "KEYBOARD": "us",
        "http_proxy": "http://proxy:3128",
        "AUTORESEARCH_CACHE": "/c",
    }
    secret = {"INNOCENT": "ghp_" + "a" * 36, "http_proxy2": "http://me:pw@proxy:3128", "X": "github_pat_" + "b" * 40}
    assert process.scrubbed({**kept, **secret}) == kept


def test_what_a_run_is_told_and_what_not(toy: World) -> None:
    toy.configure(sandbox="off")
    toy.commit({"bench.py": "import json, os\njson.dump(dict(os.environ), open(os.environ['HOME'] + '/seen', 'w'))\n"
                            "from solver import ALPHA\nprint('score:', ALPHA)\n"})  # fmt: skip
    toy.ok("start", "--tag", "t", "--experiments", "1", "--budget", "7", "--seed", "5",
           env={"GITHUB_TOKEN": "ghp_secret", "GH_ENTERPRISE_TOKEN": "ghp_secret", "GITHUB_ENTERPRISE_TOKEN": "ghp_secret",
                "AUTORESEARCH_HUB": "https://x:ghp_secret@github.com/a/b", "AUTORESEARCH_JUDGE": "strict", "GIT_AUTHOR_NAME": "x"})  # fmt: skip
    seen = json.loads(Path(os.environ["HOME"], "seen").read_text())
    assert (seen["AUTORESEARCH_SEED"], seen["AUTORESEARCH_BUDGET"]) == ("5", "7")
    assert seen["AUTORESEARCH_RESULT"].endswith("0001-1.result.json")
    assert not any(name.startswith("GIT_") or "ghp_secret" in value for name, value in seen.items())
    assert "AUTORESEARCH_JUDGE" not in seen


def test_the_channel_is_believed_before_the_print(toy: World) -> None:
    toy.commit({"bench.py": "import json, os\nfrom solver import ALPHA\n"
                            "open(os.environ['AUTORESEARCH_RESULT'], 'a').write(json.dumps({'score': ALPHA, 'data': 'sha256:abc'}) + '\\n')\n"
                            "print('score:', ALPHA if ALPHA == 0.3 else 99)\n"})  # fmt: skip
    toy.ok("start", "--tag", "t", "--experiments", "2")
    baseline, first, _ = toy.experiments()
    assert baseline["measurements"][0]["channel"] == "harness"
    assert baseline["measurements"][0]["data"] == "sha256:abc"
    assert first["status"] == "crash" or first["description"].startswith("N ")
    assert any("the harness measured" in str(e["reason"]) for e in toy.experiments())


def test_a_harness_that_reports_must_report(toy: World) -> None:
    """A run that prints a number but leaves before the evaluation has none."""
    toy.commit({"bench.py": "import json, os\nfrom solver import ALPHA\nif ALPHA == 0.3:\n"
                            "    open(os.environ['AUTORESEARCH_RESULT'], 'a').write(json.dumps({'score': ALPHA}) + '\\n')\n"
                            "print('score:', ALPHA)\n", "solver.py": "ALPHA = 0.3\n"})  # fmt: skip
    toy.ok("start", "--tag", "t", "--experiments", "1")
    assert toy.experiments()[1]["reason"] == "the run ended without the harness's evaluation"


def test_data_that_changes_under_a_session_stops_it(toy: World) -> None:
    toy.commit({"bench.py": "import json, os\nfrom solver import ALPHA\ndata = 'old' if ALPHA == 0.3 else 'new'\n"
                            "open(os.environ['AUTORESEARCH_RESULT'], 'a').write(json.dumps({'score': ALPHA, 'data': data}) + '\\n')\n"
                            "print('score:', ALPHA)\n", "solver.py": "ALPHA = 0.3\n"})  # fmt: skip
    ran = toy.run("start", "--tag", "t", "--experiments", "1")
    assert ran.code == 1
    assert "error: the data changed since this session's baseline: new… is not old…" in ran.err


def test_the_fingerprint_follows_what_the_run_reads_and_nothing_else(toy: World) -> None:
    def fingerprint(tag: str, *options: str) -> object:
        toy.ok("start", "--tag", tag, "--experiments", "1", *options)
        return toy.experiments(tag)[0]["harness"]

    first = fingerprint("a")
    toy.commit({"README.md": "other words\n", "unrelated.py": "x = 1\n", "solver.py": "ALPHA = 0.31\nN = 5\n"})
    assert fingerprint("b") == first
    assert fingerprint("c", "--budget", "9") != first
    toy.commit(
        {
            "helper.py": "K = 1\n",
            "bench.py": "import helper\nfrom solver import ALPHA\nprint('score:', ALPHA * helper.K)\n",
        }
    )
    second = fingerprint("d")
    assert second != first
    toy.commit({"helper.py": "K = 2\n"})
    assert fingerprint("e") != second


@pytest.mark.parametrize(
    ("gpu", "name"),
    [("NVIDIA H100 80GB HBM3", "H100"), ("NVIDIA GeForce RTX 4090", "RTX4090"), ("NVIDIA A100-SXM4-40GB", "A100"), ("NVIDIA H200", "H200"),
     ("Apple M4 Max", "M4Max"), ("NVIDIA RTX 6000 Ada Generation", "RTX6000Ada"), ("Tesla T4", "T4"), ("", "cpu"),
     ("AMD Instinct MI300X", "MI300X"), ("NVIDIA GeForce RTX 4070 Ti SUPER", "RTX4070TiSUPER")],
)  # fmt: skip
def test_hardware_class_of_a_branch(gpu: str, name: str) -> None:
    assert machine.hardware_class(gpu) == name


def test_memory_without_a_device_is_the_process_s_own(toy: World) -> None:
    toy.commit({"bench.py": "x = bytearray(300 << 20)\nfrom solver import ALPHA\nprint('score:', ALPHA)\n"})
    toy.ok("start", "--tag", "t", "--experiments", "1")
    memory = toy.experiments()[0]["memory_gb"]
    assert math.isclose(memory, 0.3, abs_tol=0.1)


@pytest.mark.parametrize(
    ("run", "changed"),
    [("sh run.sh", "bench.py"), ("make -s bench", "Makefile"), ("{python} -m pkg.tool", "pkg/__init__.py"), ("{python} bench.py", "table.csv"),
     ("{python} bench.py", "pkg/sub/__init__.py"), ("{python} bench.py", "input.txt"), ("{python} bench.py --file=conf.yaml", "conf.yaml")],
)  # fmt: skip
def test_the_fingerprint_misses_nothing_that_a_run_reads(toy: World, run: str, changed: str) -> None:
    files = {"bench.py": "import pkg.sub.deep\nopen('table.csv').read()\nopen('input.txt')\nfrom solver import ALPHA\nprint('score:', ALPHA)\n",
             "run.sh": f"{sys.executable} bench.py\n", "Makefile": f"bench:\n\t@{sys.executable} bench.py\n", "pkg/__init__.py": "", "pkg/sub/__init__.py": "",
             "pkg/sub/deep.py": "", "pkg/tool.py": "print('score: 1')\n", "table.csv": "1\n", "input.txt": "a\n", "conf.yaml": "a: 1\n"}  # fmt: skip
    toy.commit(files)
    toy.configure(run=run, baseline_runs="1")
    toy.ok("start", "--tag", "a", "--experiments", "1")
    toy.commit({changed: files[changed] + "# other\n"})
    toy.ok("start", "--tag", "b", "--experiments", "1")
    assert toy.experiments("a")[0]["harness"] != toy.experiments("b")[0]["harness"]


@pytest.mark.parametrize("text", ["score: 0,83", "score: 1_0", "score: --3"])
def test_a_number_that_is_none_is_not_guessed(text: str) -> None:
    assert outcome.parse_summary(text, "score").value is None


def test_a_metric_said_twice_in_one_block_is_no_number() -> None:
    assert outcome.parse_summary("---\nscore: 0.1\nscore: 0.9\n", "score").crash == "score is not a number: said twice"


def test_strange_figures_do_not_reach_the_record(toy: World) -> None:
    toy.commit({"bench.py": "import os\nfrom solver import ALPHA\nprint('---')\nprint('score:', ALPHA)\nprint('data: 5')\n"
                            "print('planned_steps: 5k')\nprint('big: 1e999')\nprint('evil: \\x1b]0;x')\n"})  # fmt: skip
    toy.ok("start", "--tag", "t", "--experiments", "2")
    toy.ok("start", "--resume", "--experiments", "1")
    figures = toy.experiments()[0]["measurements"][0]
    assert not {"data", "planned_steps", "big", "evil"} & set(figures)


def test_output_is_no_markup_on_a_terminal(toy: World) -> None:
    toy.commit(
        {
            "bench.py": "import time\nfrom solver import ALPHA\nprint('loading [/home/x] \\x1b]0;title\\x07', flush=True)\ntime.sleep(.3)\nprint('score:', ALPHA)\n"
        }
    )
    done = subprocess.run(["script", "-qec", "git autoresearch start --tag t --experiments 1", "/dev/null"],
                          cwd=toy.root, capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "loading [/home/x]" in done.stdout
    assert "\x1b]0;title" not in done.stdout


def test_the_metric_may_not_take_the_name_of_the_record_s_own_keys(toy: World) -> None:
    toy.configure(metric="seed")
    assert "metric = 'seed'" in toy.run("start").err
