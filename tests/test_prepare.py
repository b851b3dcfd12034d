"""prepare.py, run as a user runs it: in a cache of its own, with downloads from a server on 127.0.0.1."""

import contextlib
import fcntl
import hashlib
import http.server
import importlib.util
import itertools
import json
import math
import os
import random
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("torch")
pytest.importorskip("rustbpe")
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

HERE = Path(__file__).resolve().parent.parent
PREPARE = HERE / "prepare.py"
SET = "builtin-v2048-t256"
TRAIN, VAL = "shard_00000.parquet", "shard_06542.parquet"


# ---------------------------------------------------------------------------
# Running prepare.py, and importing it with settings
# ---------------------------------------------------------------------------


def environment(cache, **settings):
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
    fixed = {"HOME": str(cache), "AUTORESEARCH_CACHE": str(cache), "AUTORESEARCH_DEVICE": "cpu", "no_proxy": "*"}
    return kept | fixed | {"PYTHONDONTWRITEBYTECODE": "1"} | settings


def start(cache, *args, code=None, popen=None, **settings):
    program = ["-c", code] if code else [str(PREPARE)]
    return subprocess.Popen(
        [sys.executable, *program, *map(str, args)],
        cwd=HERE,
        env=environment(cache, **settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **(popen or {}),
    )


def prepare(cache, *args, code=None, popen=None, **settings):
    process = start(cache, *args, code=code, popen=popen, **settings)
    stdout, stderr = process.communicate(timeout=120)
    return SimpleNamespace(rc=process.returncode, stdout=stdout, stderr=stderr)


AT_ONCE = "import sys, prepare; prepare.BACKOFF = 0.01; prepare.main()"  # prepare.py without its pauses
# What a training run asks of prepare.py
TRAIN_ONCE = """
import prepare as p
tokenizer = p.Tokenizer.from_directory()
for split in ("train", "val"):
    p.open_rows(tokenizer, p.MAX_SEQ_LEN, split)
"""


def assert_two_lines(run, *words):
    """A user's error: exit code 1, what is wrong, what to do; nothing else."""
    assert run.rc == 1, run
    lines = run.stderr.splitlines()
    assert len(lines) == 2, run.stderr
    assert lines[0].startswith("error: ")
    for word in words:
        assert word in run.stderr


def load(monkeypatch, cache, **settings):
    """prepare.py as a fresh module under these settings."""
    for name in list(os.environ):
        if name.startswith("AUTORESEARCH_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AUTORESEARCH_CACHE", str(cache))
    monkeypatch.setenv("AUTORESEARCH_DEVICE", "cpu")
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    spec = importlib.util.spec_from_file_location("prepare_under_test", PREPARE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """The built-in corpus, prepared once. Tests that change it take a copy."""
    cache = tmp_path_factory.mktemp("cache")
    run = prepare(cache)
    assert run.rc == 0, run.stderr
    assert f"ready in {cache / SET}" in run.stdout
    return cache


@pytest.fixture
def own_cache(cache, tmp_path):
    return Path(shutil.copytree(cache, tmp_path / "cache"))


@pytest.fixture
def module(monkeypatch, cache):
    return load(monkeypatch, cache)


def state(cache):
    """Every file of a prepared cache with its bytes and its time."""
    return {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in sorted(cache.rglob("*")) if p.is_file()}


def fingerprint_of(run):
    return re.search(r"sha256:[0-9a-f]{64}", run.stdout)[0]


# ---------------------------------------------------------------------------
# The built-in corpus
# ---------------------------------------------------------------------------


SECOND_CALL = """
import sys, time
start = time.time()
import prepare
prepare.main()
assert time.time() - start < 1
print([name for name in ("torch", "pyarrow", "tiktoken", "tqdm", "numpy") if name in sys.modules])
"""


def test_a_second_call_changes_nothing_and_never_imports_torch(cache):
    before = state(cache)
    run = prepare(cache, code=SECOND_CALL)
    assert run.rc == 0, run.stderr
    assert run.stdout.splitlines()[-1] == "[]"
    assert "source:    builtin (Python" in run.stdout
    after = state(cache)
    del before[cache / "prepare.lock"], after[cache / "prepare.lock"]
    assert after == before


def test_another_cache_gets_the_same_fingerprint(cache, tmp_path):
    first = prepare(cache)
    second = prepare(tmp_path / "other", PYTHONHASHSEED="7")
    assert fingerprint_of(first) == fingerprint_of(second)


def test_corpus_is_split_by_file_and_cut_to_fit_rows(cache, module):
    train = pq.read_table(cache / SET / TRAIN)["text"].to_pylist()
    val = pq.read_table(cache / SET / VAL)["text"].to_pylist()
    assert sum(map(len, train)) > 3_000_000
    assert 0.02 < sum(map(len, val)) / sum(map(len, train)) < 0.12
    assert max(map(len, train + val)) <= 2 * module.MAX_SEQ_LEN
    assert pq.ParquetFile(cache / SET / TRAIN).metadata.row_group(0).num_rows == 1024
    files = dict(module.library_files())
    assert not [path for path in files if re.search(r"(^|/)(tests?|site-packages|idle_test)/|_sysconfigdata", path)]
    assert len(set(files.values())) == len(files)  # no duplicates
    assert any(path.startswith("pydoc_data/topics/") for path in files)
    held_out = {path for path in files if int(hashlib.sha256(path.encode()).hexdigest(), 16) % 20 == 0}
    for documents, paths in ((val, held_out), (train, set(files) - held_out)):
        expected = [piece for path in paths for piece in module.cut(files[path], 2 * module.MAX_SEQ_LEN)]
        assert sorted(documents) == sorted(expected)


def test_cut_loses_nothing_and_prefers_blank_lines(module):
    rng = random.Random(0)
    for _ in range(200):
        text = "".join(rng.choice("ab \n\né") for _ in range(rng.randrange(500)))
        pieces = list(module.cut(text, 40))
        assert "".join(pieces) == text
        assert all(len(piece) <= 40 for piece in pieces)
    assert list(module.cut("a" * 30 + "\n\n" + "b\n" * 10, 40)) == ["a" * 30 + "\n\n", "b\n" * 10]


def test_progress_is_drawn_on_a_terminal_and_lines_are_printed_in_a_log(own_cache):
    path = own_cache / SET / "train.bin"
    path.unlink()
    assert prepare(own_cache).stderr == ""
    path.unlink()
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    process = subprocess.Popen([sys.executable, PREPARE], env=environment(own_cache), stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    stdout, _ = process.communicate(timeout=120)
    drawn = os.read(ours, 2**20).decode()
    os.close(ours)
    assert re.search(r"\rpacking train.bin: +\d+%\|.*documents/s\]", drawn)
    assert re.search(rb"packing: +train.bin, [\d,]+ rows of 257 tokens in", stdout)


@pytest.mark.parametrize("damage", ["altered", "truncated", "missing"])
def test_a_damaged_shard_is_found_and_made_again(own_cache, damage):
    shard = own_cache / SET / VAL
    whole = shard.read_bytes()
    if damage == "altered":
        shard.write_bytes(whole[:5000] + bytes(100) + whole[5100:])
    elif damage == "truncated":
        shard.write_bytes(whole[:5000])
    else:
        shard.unlink()
    assert prepare(own_cache, code=TRAIN_ONCE).rc == 0  # a training run needs no shards
    again = prepare(own_cache)
    assert again.rc == 0
    assert "learning" not in again.stdout  # the text is the same, and so is all that was made from it
    assert "packing: " not in again.stdout
    assert shard.read_bytes() == whole


@pytest.mark.parametrize("name", ["train.bin", "val.bin"])
@pytest.mark.parametrize("damage", ["altered", "truncated", "missing"])
def test_damaged_rows_are_found_and_packed_again(own_cache, name, damage):
    path = own_cache / SET / name
    whole = path.read_bytes()
    if damage == "altered":
        path.write_bytes(whole[:-600] + bytes(100) + whole[-500:])
    elif damage == "truncated":
        path.write_bytes(whole[:-514])
    else:
        path.unlink()
    assert_two_lines(prepare(own_cache, code=TRAIN_ONCE), name, "run: python prepare.py --source builtin")
    again = prepare(own_cache)
    assert again.rc == 0, again.stderr
    assert re.findall(r"packing: +(\S+),", again.stdout) == [name]
    assert path.read_bytes() == whole


def test_rows_altered_behind_their_date_are_found_where_they_make_the_metric(own_cache):
    path = own_cache / SET / "val.bin"
    whole, times = path.read_bytes(), path.stat()
    path.write_bytes(whole[:-600] + bytes(100) + whole[-500:])
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert_two_lines(prepare(own_cache, code=TRAIN_ONCE), "val.bin is damaged", "delete it, then run: python prepare.py")
    path.unlink()  # as it says
    assert prepare(own_cache).rc == 0
    assert path.read_bytes() == whole


def test_a_copied_cache_counts_as_prepared(own_cache):
    for path in own_cache.rglob("*.*"):
        os.utime(path)
    assert prepare(own_cache, code=TRAIN_ONCE).rc == 0
    again = prepare(own_cache)
    assert "packing: " not in again.stdout
    assert "learning" not in again.stdout


def test_a_manifest_of_another_version_is_prepared_again(own_cache):
    path = own_cache / SET / "manifest.json"
    text = path.read_text()
    for other in (text.replace('"format": 2', '"format": 1'), text[:100], "[]"):
        path.write_text(other)
        run = prepare(own_cache, code=TRAIN_ONCE)
        assert_two_lines(run, "another version of prepare.py", "run: python prepare.py --source builtin")
    assert fingerprint_of(prepare(own_cache)) in prepare(own_cache).stdout
    assert prepare(own_cache, code=TRAIN_ONCE).rc == 0


def test_a_full_disk_is_one_clear_line_and_leaves_nothing(tmp_path):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (6_000_000, 6_000_000))  # the shards fit, train.bin does not

    assert_two_lines(prepare(tmp_path, popen={"preexec_fn": limit}), "File too large", "make room")
    assert sorted(p.name for p in (tmp_path / SET).iterdir()) == [TRAIN, VAL, "tokenizer.json", "tokenizer.tiktoken"]


def test_two_at_once_wait_for_each_other(tmp_path):
    runs = [start(tmp_path) for _ in range(2)]
    outputs = [run.communicate(timeout=120) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], outputs
    assert sum("waiting for another prepare.py" in stdout for stdout, _ in outputs) == 1
    assert sum("learning 2,048 tokens" in stdout for stdout, _ in outputs) == 1
    assert sum(stdout.count("packing: ") for stdout, _ in outputs) == 2


def test_killed_at_any_moment_it_leaves_nothing_that_counts_as_whole(cache, tmp_path):
    whole = fingerprint_of(prepare(cache))
    for delay in (0.15, 0.5, 0.8, 1.1, 1.5, 2.0):
        run = start(tmp_path)
        time.sleep(delay)
        run.kill()
        run.communicate()
        # Whatever a training run would accept now must be complete
        look = prepare(tmp_path, code=TRAIN_ONCE + "print(p.fingerprint(p.data_set()[1]))")
        if look.rc == 0:
            assert fingerprint_of(look) == whole
            shutil.rmtree(tmp_path)  # it was done already: begin again
            tmp_path.mkdir()
        else:
            assert_two_lines(look, "run: python prepare.py")
    assert fingerprint_of(prepare(tmp_path)) == whole
    assert not list(tmp_path.rglob("*.part"))
    assert (tmp_path / SET / "train.bin").read_bytes() == (cache / SET / "train.bin").read_bytes()


def test_interrupt_exits_130_in_one_line(tmp_path):
    with Server() as server:
        server.files[TRAIN] = server.files[VAL] = bytes(1000)
        server.stall_after = 500
        heed = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}  # a suite in the background ignores ^C
        args = ("--source", "climbmix", "--shards", "1")
        run = start(tmp_path, *args, popen=heed, AUTORESEARCH_CLIMBMIX_URL=server.url)
        assert server.stalled.wait(30)
        run.send_signal(signal.SIGINT)
        try:
            _, stderr = run.communicate(timeout=30)
        finally:
            run.kill()
    assert run.returncode == 130
    assert stderr.strip().splitlines()[0].startswith("error: interrupted")
    assert "Traceback" not in stderr


def test_a_read_only_cache_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    assert_two_lines(prepare(tmp_path / "file"), "AUTORESEARCH_CACHE")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AUTORESEARCH_DEVICE", "tpu"),
        ("AUTORESEARCH_BUDGET", "soon"),
        ("AUTORESEARCH_BUDGET", "-1"),
        ("AUTORESEARCH_SEED", "1.5"),
        ("AUTORESEARCH_STEPS", "~"),
        ("AUTORESEARCH_STEPS", "0"),
        ("AUTORESEARCH_PACE", "160"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path, name, value):
    assert_two_lines(prepare(tmp_path, **{name: value}), name, "unset")


def test_each_device_class_has_its_own_data_set(own_cache):
    run = prepare(own_cache, "--source", "builtin", AUTORESEARCH_DEVICE="24gb")
    assert run.rc == 0, run.stderr
    assert "24gb: context 2048, 8,192 tokens" in run.stdout
    code = "import prepare; print(prepare.Tokenizer.from_directory().get_vocab_size(), prepare.data_set()[1]['source'])"
    assert prepare(own_cache, code=code, AUTORESEARCH_DEVICE="24gb").stdout == "8192 builtin\n"
    assert prepare(own_cache, code=code).stdout == "2048 builtin\n"
    assert_two_lines(prepare(own_cache, code=code, AUTORESEARCH_DEVICE="h100"), "no data is prepared")
    other = prepare(own_cache, "--source", "builtin", AUTORESEARCH_DEVICE="16gb")  # same rows for training, fewer for validation
    assert re.findall(r"packing: +(\S+),", other.stdout) == ["val.bin"]
    run = prepare(own_cache, code=TRAIN_ONCE, AUTORESEARCH_DEVICE="24gb")
    assert_two_lines(run, "another device class than 24gb", "run: python prepare.py --source builtin")


# ---------------------------------------------------------------------------
# climbmix, from a server on 127.0.0.1
# ---------------------------------------------------------------------------


class Server:
    """Serves `files`; each further attribute makes it misbehave in one way."""

    def __init__(self):
        self.files = {}
        self.asked = []  # (name, Range header) in order
        self.truncate = set()  # names of which the first answer breaks off half way
        self.ranges = False  # whether a Range request is honoured
        self.etag = {}  # name: ETag, or a function that gives one per answer
        self.linked_etag = {}  # name: X-Linked-Etag, sent with a redirect
        self.stall_after = None  # bytes after which an answer stops coming
        self.stalled = threading.Event()
        self.over = threading.Event()

    def __enter__(self):
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *args):
                pass

            def do_GET(self):
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    server.answer(self)

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}/main"
        self.thread = threading.Thread(target=self.http.serve_forever)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()

    def answer(self, request):
        folder, name = request.path.split("/")[-2:]
        if name in self.linked_etag and folder != "cdn":
            request.send_response(302)
            request.send_header("Location", f"/cdn/{name}")
            request.send_header("X-Linked-Etag", self.linked_etag[name])
            request.end_headers()
            return
        wanted = request.headers.get("Range")
        self.asked.append((name, wanted))
        if name not in self.files:
            request.send_error(404)
            return
        body = self.files[name]
        if wanted and self.ranges:
            body = body[int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) :]
        request.send_response(206 if wanted and self.ranges else 200)
        request.send_header("Content-Length", str(len(body)))
        if name in self.etag:
            etag = self.etag[name]
            request.send_header("ETag", etag() if callable(etag) else etag)
        request.end_headers()
        if name in self.truncate:
            self.truncate.discard(name)
            body = body[: len(body) // 2]
        if self.stall_after is not None:
            request.wfile.write(body[: self.stall_after])
            request.wfile.flush()
            self.stalled.set()
            self.over.wait(30)
            return
        request.wfile.write(body)


@pytest.fixture(scope="session")
def shards():
    """Two shards of made-up text, varied enough to learn 2,048 tokens from."""
    rng = random.Random(1)
    syllables = [a + b for a in "bcdfghjklmnprstvw" for b in ("a", "e", "i", "o", "u", "an", "er")]
    words = ["".join(rng.choices(syllables, k=rng.randint(1, 4))) for _ in range(4000)]
    made = {}
    for name, count in ((TRAIN, 400), (VAL, 100)):
        texts = [" ".join(rng.choices(words, k=rng.randint(5, 200))) for _ in range(count)]
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table({"text": texts}), sink, row_group_size=1024, compression="zstd")
        made[name] = sink.getvalue().to_pybytes()
    return made


@pytest.fixture
def server(shards):
    with Server() as server:
        server.files = dict(shards)
        yield server


def download(cache, server, *args, **settings):
    args = ("--source", "climbmix", "--shards", "1", *args)
    return prepare(cache, *args, code=AT_ONCE, AUTORESEARCH_CLIMBMIX_URL=server.url, **settings)


def names_in(folder):
    return sorted(p.name for p in folder.glob("*.parquet"))


def test_climbmix_is_downloaded_and_then_trained_on(own_cache, server, shards):
    server.etag = {name: f'"{hashlib.sha256(body).hexdigest()}"' for name, body in shards.items()}
    run = download(own_cache, server)
    assert run.rc == 0, run.stderr
    assert f"source:    climbmix ({server.url}), 1 + 1 shards" in run.stdout
    assert "2/2 files" in run.stdout
    assert {p.name: p.read_bytes() for p in (own_cache / "data").iterdir()} == shards  # and no leftovers
    manifest = json.loads((own_cache / "climbmix-v2048-t256" / "manifest.json").read_text())
    assert [(s["name"], s["size"], s["sha256"]) for s in manifest["shards"]] == [
        (name, len(shards[name]), hashlib.sha256(shards[name]).hexdigest()) for name in (TRAIN, VAL)
    ]
    code = "import prepare; print(prepare.data_set()[1]['source'])"
    assert prepare(own_cache, code=code).stdout == "climbmix\n"
    # Both sources stay prepared: going back asks for nothing again, and a second call downloads nothing
    server.asked.clear()
    assert fingerprint_of(download(own_cache, server)) == fingerprint_of(run)
    assert server.asked == []
    back = prepare(own_cache, "--source", "builtin")
    assert "learning" not in back.stdout
    assert prepare(own_cache, code=code).stdout == "builtin\n"


def test_shards_that_upstream_downloaded_are_used(tmp_path, server, shards):
    (tmp_path / "data").mkdir()
    for name, body in shards.items():
        (tmp_path / "data" / name).write_bytes(body)
    (tmp_path / "data" / TRAIN).write_bytes(shards[TRAIN][:-9])  # but not half a one
    assert download(tmp_path, server).rc == 0
    assert server.asked == [(TRAIN, None)]
    assert (tmp_path / "data" / TRAIN).read_bytes() == shards[TRAIN]


@pytest.mark.parametrize("ranges", [False, True])
def test_a_broken_connection_is_resumed_or_repeated(tmp_path, server, shards, ranges):
    server.truncate, server.ranges = {TRAIN}, ranges
    run = download(tmp_path, server)
    assert run.rc == 0, run.stderr
    assert (tmp_path / "data" / TRAIN).read_bytes() == shards[TRAIN]
    asked = [wanted for name, wanted in server.asked if name == TRAIN]
    assert asked == [None, f"bytes={len(shards[TRAIN]) // 2}-"]


def test_a_resumed_file_of_another_version_is_started_over(tmp_path, server, shards):
    server.truncate, server.ranges = {TRAIN}, True
    versions = iter(['"one"', '"two"', '"two"'])  # the file changes between the first answer and the second
    server.etag = {TRAIN: lambda: next(versions)}
    run = download(tmp_path, server)
    assert run.rc == 0, run.stderr
    asked = [wanted for name, wanted in server.asked if name == TRAIN]
    assert asked == [None, f"bytes={len(shards[TRAIN]) // 2}-", None]
    assert (tmp_path / "data" / TRAIN).read_bytes() == shards[TRAIN]


@pytest.mark.parametrize("where", ["etag", "linked_etag"])
def test_a_wrong_checksum_is_never_accepted(tmp_path, server, where):
    getattr(server, where)[TRAIN] = f'"{"0" * 64}"'
    run = download(tmp_path, server)
    assert_two_lines(run, TRAIN, "checksum", "--source builtin")
    assert TRAIN not in names_in(tmp_path / "data")
    assert not list(tmp_path.glob("*/manifest.json"))
    assert not (tmp_path / "source-cpu").exists()
    assert len([name for name, _ in server.asked if name == TRAIN]) == 4


def test_the_checksum_before_a_redirect_counts_not_the_one_after(tmp_path, server, shards):
    server.linked_etag = {TRAIN: f'"{hashlib.sha256(shards[TRAIN]).hexdigest()}"'}
    server.etag = {TRAIN: f'"{"0" * 64}"'}  # a CDN's own name for it
    assert download(tmp_path, server).rc == 0


def test_a_missing_shard_is_not_asked_for_again(tmp_path, server):
    del server.files[TRAIN]
    assert_two_lines(download(tmp_path, server), "404", "--source builtin")
    assert len([name for name, _ in server.asked if name == TRAIN]) == 1


def test_an_error_page_is_not_taken_for_a_shard(tmp_path, server):
    server.files[VAL] = b"<html>log in to the hotel's network</html>"
    assert_two_lines(download(tmp_path, server), "no parquet file", "--source builtin")
    assert VAL not in names_in(tmp_path / "data")


def test_damage_inside_a_shard_is_one_clear_line(own_cache, server, shards):
    body = shards[TRAIN]
    middle = body[:1000] + bytes(len(body) - 3000) + body[-2000:]  # header and footer are right
    server.files[TRAIN] = middle
    run = download(own_cache, server)
    assert run.rc == 1
    assert_two_lines(run, TRAIN, "is damaged", "delete it")
    assert prepare(own_cache, code=TRAIN_ONCE).rc == 0  # on what was there before


def test_no_network_is_said_and_the_offline_source_named(tmp_path):
    with Server() as server:
        pass  # closed again: its port refuses
    run = download(tmp_path, server)
    assert_two_lines(run, "refused", "--source builtin")
    assert prepare(tmp_path).rc == 0  # which works


def test_killed_during_a_download_it_starts_over(tmp_path, server, shards):
    server.stall_after = 2000
    run = start(tmp_path, "--source", "climbmix", "--shards", "1", AUTORESEARCH_CLIMBMIX_URL=server.url)
    assert server.stalled.wait(30)
    time.sleep(0.2)
    run.kill()
    run.communicate()
    assert names_in(tmp_path / "data") == []
    assert_two_lines(prepare(tmp_path, code="import prepare; prepare.data_set()"), "no data is prepared")
    server.stall_after = None
    assert download(tmp_path, server).rc == 0
    assert {p.name: p.read_bytes() for p in (tmp_path / "data").iterdir()} == shards


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_refuses_is_named(tmp_path, scheme):
    class Refusing(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(407)

        do_CONNECT = do_GET

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as proxy:
        thread = threading.Thread(target=proxy.serve_forever)
        thread.start()
        proxies = {f"{scheme}_proxy": f"http://127.0.0.1:{proxy.server_port}", "no_proxy": ""}
        away = SimpleNamespace(url=f"{scheme}://nowhere.invalid/main")
        run = download(tmp_path, away, **proxies)
        proxy.shutdown()
        thread.join()
    assert_two_lines(run, "407", "HTTPS_PROXY", "--source builtin")


def test_an_address_that_is_none_is_said(tmp_path):
    assert_two_lines(download(tmp_path, SimpleNamespace(url="nonsense")), "unknown url type", "--source builtin")


def test_more_shards_keep_what_does_not_depend_on_them(own_cache, server, shards):
    assert download(own_cache, server).rc == 0
    folder = own_cache / "climbmix-v2048-t256"
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["tokenizer"]["reached_limit"] = True  # as if the first shard had been a billion characters
    (folder / "manifest.json").write_text(json.dumps(manifest))
    server.files["shard_00001.parquet"] = shards[TRAIN]
    run = prepare(own_cache, "--source", "climbmix", "--shards", "2", code=AT_ONCE, AUTORESEARCH_CLIMBMIX_URL=server.url)
    assert re.findall(r"packing: +(\S+),", run.stdout) == ["train.bin"]
    assert "learning" not in run.stdout
    assert json.loads((folder / "manifest.json").read_text())["rows"]["train"]["rows"] > manifest["rows"]["train"]["rows"]
    assert "2 + 1 shards" in prepare(own_cache, "--source", "climbmix").stdout  # remembered


# ---------------------------------------------------------------------------
# tinystories
# ---------------------------------------------------------------------------

STORIES = "tinystories_gpt4_clean.parquet"


def stories(count):
    rng = random.Random(2)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))) for _ in range(3000)]
    texts = [f"{i} " + " ".join(rng.choices(words, k=rng.randint(3, 12))) for i in range(count)]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"text": texts}), sink, row_group_size=7_000, compression="zstd")
    return texts, sink.getvalue().to_pybytes()


def test_tinystories_is_one_file_of_three_parts(monkeypatch, tmp_path):
    texts, body = stories(23_000)
    with Server() as server:
        server.files[STORIES], server.truncate, server.ranges = body, {STORIES}, True
        settings = {"AUTORESEARCH_TINYSTORIES_URL": server.url}
        run = prepare(tmp_path, "--source", "tinystories", code=AT_ONCE, **settings)
        assert run.rc == 0, run.stderr
        assert server.asked == [(STORIES, None), (STORIES, f"bytes={len(body) // 2}-")]
        again = prepare(tmp_path, "--source", "tinystories", code=SECOND_CALL, **settings)
        assert again.stdout.splitlines()[-1] == "[]", again
        assert len(server.asked) == 2
    assert (tmp_path / "tinystories" / STORIES).read_bytes() == body
    module = load(monkeypatch, tmp_path)
    tokenizer = module.Tokenizer.from_directory()
    decoded = {
        split: {text for row in rows_of(tmp_path / "tinystories-v2048-t256" / f"{split}.bin")
                for text in tokenizer.decode(row.tolist()).split("<|reserved_0|>")} for split in ("train", "val")
    }  # fmt: skip
    held_out, rest = set(texts[10_000:20_000]), set(texts[20_000:])
    assert len(decoded["train"] & rest) > 1000
    assert len(decoded["val"] & held_out) > 500
    for split, other in (("train", texts[:20_000]), ("val", texts[:10_000] + texts[20_000:])):
        assert not decoded[split] & set(other)
    (tmp_path / "tinystories-v2048-t256" / "train.bin").unlink()
    assert_two_lines(prepare(tmp_path, code=TRAIN_ONCE), "run: python prepare.py --source tinystories")


def test_too_few_stories_are_one_clear_line(tmp_path):
    with Server() as server:
        server.files[STORIES] = stories(15_000)[1]
        run = prepare(tmp_path, "--source", "tinystories", code=AT_ONCE, AUTORESEARCH_TINYSTORIES_URL=server.url)
    assert_two_lines(run, "too short")


# ---------------------------------------------------------------------------
# A folder of one's own
# ---------------------------------------------------------------------------


def made_up(seed, count):
    rng = random.Random(seed)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))) for _ in range(3000)]
    return [f"{seed}.{i} " + " ".join(rng.choices(words, k=rng.randint(3, 90))) for i in range(count)]


@pytest.fixture
def folder(tmp_path):
    """Parquet and text files of every kind."""
    folder = tmp_path / "my texts"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    pq.write_table(pa.table({"text": [*made_up(1, 1500), "", None], "n": range(1502)}), folder / "a.parquet")
    (folder / "deep" / "b.TXT").write_text("\n<|endoftext|>\n".join(made_up(2, 1000)), encoding="utf-8-sig")
    (folder / "deep" / "er" / "c.md").write_text("\r\n\r\n".join(made_up(3, 300)), newline="")
    (folder / "deep" / "er" / "again.txt").write_text("<|endoftext|>".join(made_up(2, 500)))  # duplicates
    (folder / "latin.txt").write_bytes("naïve".encode("latin-1"))
    (folder / "utf16.txt").write_bytes("text".encode("utf-16-le"))
    pq.write_table(pa.table({"words": ["no column text"]}), folder / "other.parquet")
    (folder / "broken.parquet").write_bytes(b"PAR1, and no more")
    (folder / "picture.png").write_bytes(bytes(100))
    (folder / ".hidden" / "secret.txt").write_text("secret")
    return folder


def folder_set(cache):
    (found,) = cache.glob("my_texts-*-v2048-t256")
    return found


def shard_documents(directory):
    return [pq.read_table(path)["text"].to_pylist() for path in sorted(directory.glob("shard_*.parquet"))]


def test_a_folder_is_prepared(tmp_path, folder):
    cache = tmp_path / "cache"
    run = prepare(cache, "--source", folder)
    assert run.rc == 0, run.stderr
    assert re.search(r"folder: +4 files with text, 4 skipped: not UTF-8, or without a column `text`", run.stdout)
    directory = folder_set(cache)
    train, val = shard_documents(directory)
    digest = lambda text: hashlib.sha256(text.encode()).digest()  # noqa: E731
    assert train == sorted(train, key=digest)
    assert val == sorted(val, key=digest)
    assert {int(digest(text).hex(), 16) % 20 == 0 for text in train} == {False}
    assert {int(digest(text).hex(), 16) % 20 == 0 for text in val} == {True}
    assert 0.03 < len(val) / len(train + val) < 0.08
    assert len(set(train + val)) == len(train + val)
    whole = set(made_up(1, 1500))
    assert whole <= set(train + val)  # a parquet file's documents are left whole, a text file's are cut
    pieces = {text for text in train + val if text not in whole}
    assert {text for text in made_up(2, 1000) if len(text) <= 512} <= pieces
    assert max(map(len, pieces)) <= 512
    assert Counter(re.sub(r"\s", "", "".join(pieces))) == Counter("".join(made_up(2, 1000) + made_up(3, 300)).replace(" ", ""))
    assert prepare(cache, code=TRAIN_ONCE).rc == 0
    assert not list(cache.rglob("*.part"))


def test_a_second_call_looks_only_at_names_sizes_and_dates(tmp_path, folder):
    cache = tmp_path / "cache"
    first = prepare(cache, "--source", folder)
    before = {path: value for path, value in state(cache).items() if path.name != "prepare.lock"}
    again = prepare(cache, "--source", folder, code=SECOND_CALL)
    assert again.stdout.splitlines()[-1] == "[]", again
    relative = prepare(cache, "--source", os.path.relpath(folder, HERE))
    assert fingerprint_of(relative) == fingerprint_of(again) == fingerprint_of(first)
    assert {path: value for path, value in state(cache).items() if path.name != "prepare.lock"} == before
    os.utime(folder / "a.parquet")  # read again, but the text is the same
    touched = prepare(cache, "--source", folder)
    assert "folder: " in touched.stdout
    assert "packing: " not in touched.stdout
    (folder / "new.txt").write_text("<|endoftext|>".join(made_up(5, 100)))
    changed = prepare(cache, "--source", folder)
    assert fingerprint_of(changed) != fingerprint_of(first)
    assert "learning" in changed.stdout
    (folder / "new.txt").unlink()
    assert fingerprint_of(prepare(cache, "--source", folder)) == fingerprint_of(first)


def test_the_same_texts_elsewhere_are_the_same_data(tmp_path, folder):
    first = prepare(tmp_path / "cache", "--source", folder)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for i, path in enumerate(sorted(folder.rglob("*.*"), reverse=True)):
        if path.is_file() and ".hidden" not in path.parts:
            shutil.copy(path, elsewhere / f"{i}{path.suffix}")
    assert fingerprint_of(prepare(tmp_path / "cache 2", "--source", elsewhere)) == fingerprint_of(first)


def test_more_text_than_memory_is_merged_from_disk(tmp_path, folder):
    whole = prepare(tmp_path / "one", "--source", folder)
    assert whole.rc == 0
    code = "import prepare; prepare.SHARD_CHARS = 100_000; prepare.main()"
    run = prepare(tmp_path / "many", "--source", folder, code=code)
    assert run.rc == 0, run.stderr
    *train, val = shard_documents(folder_set(tmp_path / "many"))
    one, one_val = shard_documents(folder_set(tmp_path / "one"))
    assert len(train) >= 5
    assert sum(train, []) == one  # noqa: RUF017
    assert val == one_val
    assert not list((tmp_path / "many").rglob("*.part"))
    code = code.replace("100_000", "300_000")  # fewer shards than before: none is left over
    (folder / "new.txt").write_text("more")
    assert prepare(tmp_path / "many", "--source", folder, code=code).rc == 0
    assert len(shard_documents(folder_set(tmp_path / "many"))) < len(train)


def test_a_long_text_file_is_cut_alike_wherever_blocks_end(module, tmp_path):
    rng = random.Random(6)
    parts = ["".join(rng.choices("ab \n", k=rng.choice([5, 600, 3000, 400_000]))) + rng.choice(["\n\n", ""]) for _ in range(9)]
    path = tmp_path / "long.txt"
    path.write_text("<|endoftext|>".join(parts), newline="")
    assert path.stat().st_size > 2 * 2**20 or sum(map(len, parts)) < 2**21
    expected = [piece.strip("\r\n") for part in parts for piece in module.cut(part, 512)]
    assert list(module.text_documents(str(path))) == expected
    for shift in range(2**20 - 14, 2**20 + 2):  # the separator across the end of a block
        path.write_text("x" * shift + "<|endoftext|>" + "y" * 700, newline="")
        found = list(module.text_documents(str(path)))
        assert "".join(found) == "x" * shift + "y" * 700
        assert found[-2:] == ["y" * 512, "y" * 188]


def test_a_folder_that_gives_no_data_is_one_clear_line(tmp_path):
    cache, folder = tmp_path / "cache", tmp_path / "it's"
    assert_two_lines(prepare(cache, "--source", folder), "there is no such folder", "builtin")
    folder.mkdir()
    assert_two_lines(prepare(cache, "--source", folder), "holds no text", ".txt")
    (folder / "a.txt").write_bytes(b"\xff\xfe")
    assert_two_lines(prepare(cache, "--source", folder), "holds no text")
    (folder / "a.txt").write_text("one line\n")
    assert_two_lines(prepare(cache, "--source", folder), "too little text", "more text")
    (folder / "b.txt").write_text("<|endoftext|>".join(map(str, range(1000))))
    assert_two_lines(prepare(cache, "--source", folder), "too short to learn", "a larger folder")
    assert not list(cache.rglob("manifest.json"))
    assert_two_lines(prepare(cache, "--source", folder / "a.txt"), "there is no such folder")


def test_a_folder_that_may_not_be_read_is_one_clear_line():
    with tempfile.TemporaryDirectory() as folder:  # not pytest's, which are closed to others: root becomes one of them
        texts, cache = Path(folder, "texts"), Path(folder, "cache")
        (texts / "inner").mkdir(parents=True)
        cache.mkdir()
        for path, mode in ((folder, 0o755), (cache, 0o777), (texts / "inner", 0)):
            os.chmod(path, mode)
        code = "import fcntl, os, prepare; os.geteuid() or os.seteuid(65534); prepare.main()"
        run = prepare(cache, "--source", texts, code=code)
        assert_two_lines(run, f"Permission denied: {texts / 'inner'}", "give access")
        (texts / "inner").chmod(0o700)


def test_the_remedy_names_a_folder_again(tmp_path, folder):
    cache = tmp_path / "cache"
    assert prepare(cache, "--source", folder).rc == 0
    again = f"run: python prepare.py --source '{folder}'"
    directory = folder_set(cache)
    (directory / "train.bin").unlink()
    assert_two_lines(prepare(cache, code=TRAIN_ONCE), "train.bin", again)
    (directory / "manifest.json").unlink()
    assert_two_lines(prepare(cache, code=TRAIN_ONCE), again)


def test_killed_while_reading_a_folder_it_leaves_nothing_that_counts(tmp_path, folder):
    expected = fingerprint_of(prepare(tmp_path / "whole", "--source", folder))
    cache = tmp_path / "cache"
    code = "import prepare; prepare.SHARD_CHARS = 100_000; prepare.main()"
    for delay in (0.2, 0.35, 0.5, 0.7):
        run = start(cache, "--source", folder, code=code)
        time.sleep(delay)
        run.kill()
        run.communicate()
    assert fingerprint_of(prepare(cache, "--source", folder)) != ""
    shutil.rmtree(folder_set(cache))
    assert fingerprint_of(prepare(cache, "--source", folder)) == expected


# ---------------------------------------------------------------------------
# Tokenizer
# ---------------------------------------------------------------------------

TEXTS = ["", "a", "def f(x):\n    return 12345\n", "naïve 你好 🙂 Привет", "\r\n\t  \x00", "<|reserved_0|>"]


def test_tokenizer_round_trips_and_prepends(cache, module):
    tokenizer = module.Tokenizer.from_directory()
    bos = tokenizer.get_bos_token_id()
    assert tokenizer.get_vocab_size() == 2048
    for text in TEXTS:
        ids = tokenizer.encode(text)
        assert tokenizer.decode(ids) == text
        assert bos not in ids  # text never becomes a special token
        assert tokenizer.encode(text, prepend=bos) == [bos, *ids]
        assert tokenizer.encode(text, prepend="<|reserved_0|>") == [bos, *ids]
    assert tokenizer.encode(TEXTS) == [tokenizer.encode(text) for text in TEXTS]
    lines = (cache / SET / "tokenizer.tiktoken").read_text(encoding="ascii").splitlines()
    assert all(re.fullmatch(r"[A-Za-z0-9+/=]+ \d+", line) for line in lines)  # data, nothing that could execute
    assert len(lines) == 2048 - 4


def test_token_bytes_are_counted_from_bytes(module):
    tokenizer = module.Tokenizer.from_directory()
    counts = tokenizer.get_token_bytes()
    for text in TEXTS:
        assert sum(counts[i] for i in tokenizer.encode(text)) == len(text.encode())
    assert counts[-4:] == [0, 0, 0, 0]
    assert min(counts[:-4]) == 1
    through_str = [len(tokenizer.decode([i]).encode()) for i in range(2048 - 4)]
    assert sum(a != b for a, b in zip(through_str, counts, strict=False)) >= 128  # lone bytes are not characters


def test_a_tokenizer_of_other_data_is_refused(own_cache):
    path = own_cache / SET / "tokenizer.tiktoken"
    lines = path.read_text().splitlines()
    (first, rank_1), (second, rank_2) = lines[-1].split(), lines[-2].split()
    path.write_text("\n".join([*lines[:-2], f"{first} {rank_2}", f"{second} {rank_1}"]) + "\n")
    run = prepare(own_cache, code="import prepare; prepare.Tokenizer.from_directory()")
    assert_two_lines(run, "does not belong to the data", "run: python prepare.py --source builtin")
    assert "learning" in prepare(own_cache).stdout  # which makes it again
    assert path.read_text().splitlines() == lines


# ---------------------------------------------------------------------------
# Loader
# ---------------------------------------------------------------------------


def plain_rows(batches, capacity, buffer_size):
    """The packing rule, written as karpathy/autoresearch describes it: scan a list. Where the batches end, so does it."""
    buffer = []
    while True:
        row = []
        while len(row) < capacity:
            while len(buffer) < buffer_size and (documents := next(batches, None)):
                buffer.extend(documents)
            if not buffer:
                return
            room = capacity - len(row)
            best = None
            for i, document in enumerate(buffer):
                if len(document) <= room and (best is None or len(document) > len(buffer[best])):
                    best = i
            if best is None:
                best = min(range(len(buffer)), key=lambda i: len(buffer[i]))
            row.extend(buffer.pop(best)[:room])
        yield row


BOS = 0  # of the made-up documents below


def corpus(seed):
    """Documents with a number of their own in each token: short, long, empty but for BOS, repeated."""
    rng = random.Random(seed)
    fresh = itertools.count(1)
    lengths = rng.choice([(1, 5), (1, 40), (30, 90), (60, 200), (1, 300)])
    documents = [[BOS, *itertools.islice(fresh, rng.randint(*lengths) - 1)] for _ in range(rng.randint(1, 400))]
    documents += [list(rng.choice(documents)) for _ in range(rng.randint(0, 15))] + [[BOS]] * rng.randint(0, 30)
    rng.shuffle(documents)
    assert max(map(max, documents)) < 2**16
    return documents


def batched(documents, batch_size, epochs=None):
    for _ in itertools.count() if epochs is None else range(epochs):
        for i in range(0, len(documents), batch_size):
            yield documents[i : i + batch_size]


def arrays(batches):
    return ([np.array(document, "<u2") for document in documents] for documents in batches)


@pytest.mark.parametrize("epochs", [None, 1, 2])
@pytest.mark.parametrize("seed", range(25))
def test_rows_equal_those_of_the_plain_rule(module, seed, epochs):
    documents, rng = corpus(seed), random.Random(seed)
    capacity, batch_size = rng.choice([17, 65, 128]), rng.choice([1, 7, 128])
    buffer_size = rng.choice([1, 10, 100, 1000])
    ours = module.pack_rows(arrays(batched(documents, batch_size, epochs)), capacity, buffer_size=buffer_size)
    plain = plain_rows(batched(documents, batch_size, epochs), capacity, buffer_size)
    for _ in range(150):
        expected, row = next(plain, None), next(ours, None)
        assert (row is None) == (expected is None)
        if row is None:
            break
        assert row.dtype == np.dtype("<u2")
        assert row.tolist() == expected
        assert len(expected) == capacity


@pytest.mark.parametrize("seed", range(25))
def test_split_packing_drops_no_token(module, seed):
    documents, rng = corpus(seed), random.Random(seed)
    capacity, buffer_size = rng.choice([2, 17, 65, 128]), rng.choice([1, 10, 100, 1000])
    batches = arrays(batched(documents, rng.choice([1, 7, 128]), 1))
    rows = [row.tolist() for row in module.pack_rows(batches, capacity, bos=BOS, buffer_size=buffer_size)]
    assert all(len(row) == capacity and row[0] == BOS for row in rows)
    given = sorted(token for document in documents for token in document if token != BOS)
    packed = sorted(token for row in rows for token in row if token != BOS)
    lost = list(given)
    for token in packed:
        lost.remove(token)  # none twice, none invented
    assert len(lost) < capacity  # the last row, which was not full
    following = {a: b for document in documents for a, b in itertools.pairwise(document) if a != BOS}
    for row in rows:  # within a row, a document goes on as it did, or another piece begins
        assert all(b == BOS or a == BOS or following[a] == b for a, b in itertools.pairwise(row))


def test_split_packing_cuts_where_upstream_does(module):
    """Documents that fit are packed alike; the rest of what is cut comes back with a BOS of its own."""
    documents = [[0, 1, 2, 3], [0, 4, 5, 6, 7], [0, 8, 9, 10, 11, 12, 13, 14, 15]]
    rows = [row.tolist() for row in module.pack_rows(arrays(iter([documents])), 6, bos=0)]
    assert rows == [[0, 8, 9, 10, 11, 12], [0, 4, 5, 6, 7, 0], [0, 13, 14, 15, 0, 1]]
    rows = [row.tolist() for row in module.pack_rows(arrays(iter([documents])), 6)]
    assert rows == [[0, 4, 5, 6, 7, 0], [0, 8, 9, 10, 11, 12]]


def plain_batches(cache, tokenizer, names, epochs=None):
    """Batches of 128 within row groups, as upstream reads them, tokenised one by one."""
    groups = []
    for name in names:
        file = pq.ParquetFile(cache / name)
        groups += [file.read_row_group(i)["text"].to_pylist() for i in range(file.num_row_groups)]
    bos = tokenizer.get_bos_token_id()
    documents = [[[bos, *tokenizer.enc.encode_ordinary(text)] for text in group] for group in groups]
    for _ in itertools.count() if epochs is None else range(epochs):
        for group in documents:
            yield from (group[i : i + 128] for i in range(0, len(group), 128))


def rows_of(path, T=256):
    return np.fromfile(path, "<u2").reshape(-1, T + 1)


def test_files_hold_the_rows_of_the_plain_rule(cache, module):
    folder, tokenizer = cache / SET, module.Tokenizer.from_directory()
    val = plain_rows(plain_batches(folder, tokenizer, [VAL]), 257, 1000)
    assert rows_of(folder / "val.bin").tolist() == list(itertools.islice(val, 256))
    train = plain_rows(plain_batches(folder, tokenizer, [TRAIN], epochs=1), 257, 1000)
    assert rows_of(folder / "train.bin")[:700].tolist() == list(itertools.islice(train, 700))


def test_files_hold_them_to_the_end_and_over_several_epochs(monkeypatch, own_cache, server):
    """Small shards: the training pass is packed to its end, and the validation rows take many epochs."""
    assert download(own_cache, server).rc == 0
    module = load(monkeypatch, own_cache)
    folder, tokenizer = own_cache / "climbmix-v2048-t256", module.Tokenizer.from_directory()
    val = plain_rows(plain_batches(own_cache / "data", tokenizer, [VAL]), 257, 1000)
    assert rows_of(folder / "val.bin").tolist() == list(itertools.islice(val, 256))
    train = plain_rows(plain_batches(own_cache / "data", tokenizer, [TRAIN], epochs=1), 257, 1000)
    assert rows_of(folder / "train.bin").tolist() == list(train)


def test_the_packing_is_chosen_and_remembered(own_cache, module):
    val = (own_cache / SET / "val.bin").read_bytes()
    upstream = prepare(own_cache, "--packing", "upstream")
    split = prepare(own_cache, "--packing", "split")
    assert fingerprint_of(split) != fingerprint_of(upstream)
    assert "(packing split)" in prepare(own_cache).stdout
    assert (own_cache / SET / "val.bin").read_bytes() == val  # validation is upstream's in any case
    rows, tokenizer = rows_of(own_cache / SET / "train.bin"), module.Tokenizer.from_directory()
    bos = tokenizer.get_bos_token_id()
    assert (rows[:, 0] == bos).all()
    batches = plain_batches(own_cache / SET, tokenizer, [TRAIN], epochs=1)
    counts = np.bincount([token for batch in batches for document in batch for token in document[1:]], minlength=2048)
    missing = counts - np.bincount(rows.ravel(), minlength=2048)
    assert (np.delete(missing, bos) >= 0).all()  # none invented
    assert np.delete(missing, bos).sum() < 257  # and no more missing than the last row, which was not full
    assert fingerprint_of(prepare(own_cache, "--packing", "upstream")) == fingerprint_of(upstream)


def test_tokens_in_files_are_those_of_encode_ordinary(module):
    rng = random.Random(4)
    alphabet = ["a", "the ", "\n", "é", "你", "🙂", "<|reserved_0|>", "<|", "0123", "\t", "\x00", "\ud7ff", "'s"]
    texts = TEXTS + ["".join(rng.choices(alphabet, k=rng.randrange(200))) for _ in range(500)]
    tokenizer = module.Tokenizer.from_directory()
    batches = list(module.tokenized([texts[:200], texts[200:]], tokenizer, workers=2))
    assert list(map(len, batches)) == [128, 72, 128, 128, len(texts) - 456]
    documents = [document for batch in batches for document in batch]
    bos = tokenizer.get_bos_token_id()
    assert [document.tolist() for document in documents] == [[bos, *tokenizer.enc.encode_ordinary(t)] for t in texts]


@pytest.mark.parametrize("B", [1, 5, 64, 300])
@pytest.mark.parametrize("T", [256, 64, 1])
def test_the_loader_deals_the_file_in_order_and_begins_again(cache, module, B, T):
    rows = rows_of(cache / SET / "val.bin").astype(np.int64)  # 256 of them
    pieces = np.stack([row[i : i + T + 1] for row in rows for i in range(0, 256, T)])
    total = len(pieces)
    loader = module.make_dataloader(module.Tokenizer.from_directory(), B, T, "val")
    for n, (x, y, epoch) in enumerate(itertools.islice(loader, max(4, 2 * total // B if T == 256 else 4))):
        expected = torch.from_numpy(pieces[np.arange(n * B, (n + 1) * B) % total])
        assert torch.equal(x, expected[:, :-1])
        assert torch.equal(y, expected[:, 1:])
        assert (x.dtype, y.dtype) == (torch.long, torch.long)
        assert x.is_contiguous()
        assert y.is_contiguous()
        assert epoch == (n * B + B - 1) // total + 1
    assert T < 256 or epoch >= 2


@pytest.mark.parametrize("T", [0, 3, 257, 512])
def test_rows_that_cannot_be_dealt_out_are_refused(module, T):
    with pytest.raises(SystemExit, match=rf"(?s)^error: .*context of 256 .* {T} at a time\n[^\n]*divides 256$"):
        next(module.make_dataloader(module.Tokenizer.from_directory(), 2, T, "train"))


def test_a_tokenizer_of_another_vocabulary_is_refused(module):
    with pytest.raises(SystemExit, match=r"^error: a tokenizer of 8,192 tokens does not belong .*\n.+"):
        next(module.make_dataloader(SimpleNamespace(get_vocab_size=lambda: 8192), 2, 256, "train"))


def test_train_and_val_rows_differ_and_all_begin_with_bos(cache, module):
    tokenizer = module.Tokenizer.from_directory()
    train, val = rows_of(cache / SET / "train.bin"), rows_of(cache / SET / "val.bin")
    assert len(val) == 65536 // 256
    assert len(train) > 10_000
    for rows in (train, val):
        assert (rows[:, 0] == tokenizer.get_bos_token_id()).all()
        assert rows.max() < 2048
    assert len({row.tobytes() for row in train} & {row.tobytes() for row in val}) < 5  # where files repeat each other


def test_batches_that_were_handed_out_stay_as_they_are(module):
    loader = module.make_dataloader(module.Tokenizer.from_directory(), 1, 256, "train")
    batches = [next(loader) for _ in range(5)]
    copies = [x.clone() for x, _, _ in batches]
    next(loader)
    assert all(torch.equal(x, copy) for (x, _, _), copy in zip(batches, copies, strict=True))


# ---------------------------------------------------------------------------
# Evaluation
# ---------------------------------------------------------------------------


def test_evaluate_bpb_equals_the_value_computed_by_hand(monkeypatch, module):
    monkeypatch.setattr(module, "EVAL_TOKENS", 40 * 256)
    tokenizer = module.Tokenizer.from_directory()
    probability = torch.softmax(torch.randn(2048, generator=torch.Generator().manual_seed(3)), dim=0)
    surprise = -probability.double().log()  # nats of each token: a distribution that is known

    def model(x, y, reduction):
        assert reduction == "none"
        return surprise[y].float().view(-1)

    lengths = [0 if i >= 2044 else len(tokenizer.enc.decode_single_token_bytes(i)) for i in range(2048)]
    loader = module.make_dataloader(tokenizer, 1, 256, "val")
    targets = [i for _, y, _ in itertools.islice(loader, 40) for i in y[0].tolist() if lengths[i] > 0]
    assert len(targets) < 40 * 256  # BOS is among them, and left out
    nats = math.fsum(surprise[i].item() for i in targets)
    by_hand = nats / math.log(2) / sum(lengths[i] for i in targets)
    for batch_size in (1, 7, 8, 64):  # 7 and 64 do not divide 40 rows
        assert module.evaluate_bpb(model, tokenizer, batch_size) == pytest.approx(by_hand, abs=1e-6)


def test_bits_per_byte_do_not_depend_on_the_vocabulary(monkeypatch, module):
    """A model that gives every byte one chance in 256 spends 8 bits per byte, whatever the tokens are."""
    monkeypatch.setattr(module, "EVAL_TOKENS", 20 * 256)
    tokenizer = module.Tokenizer.from_directory()
    lengths = torch.tensor(tokenizer.get_token_bytes())
    model = lambda x, y, reduction: math.log(256) * lengths[y].float() + (lengths[y] == 0) * 1e9  # noqa: E731
    assert module.evaluate_bpb(model, tokenizer, 8) == pytest.approx(8, abs=1e-6)


def uniform(x, y, reduction):
    return torch.full_like(y, math.log(2048), dtype=torch.float32)


def test_the_channel_gets_one_line_per_evaluation(monkeypatch, cache, tmp_path):
    result = tmp_path / "result.jsonl"
    result.write_text("before\n")
    module = load(monkeypatch, cache, AUTORESEARCH_RESULT=str(result), AUTORESEARCH_BUDGET="7.5", AUTORESEARCH_SEED="5")
    monkeypatch.setattr(module, "EVAL_TOKENS", 4 * 256)
    tokenizer = module.Tokenizer.from_directory()
    val_bpb = module.evaluate_bpb(uniform, tokenizer, 4)
    first, second = result.read_text().splitlines()
    assert first == "before"
    assert json.loads(second) == {
        "val_bpb": val_bpb,
        "eval_tokens": 4 * 256,
        "training_seconds": None,
        "num_steps": None,
        "step_seconds": None,
        "budget_seconds": 7.5,
        "seed": 5,
        "device_class": "cpu",
        "data": module.fingerprint(module.data_set()[1]),
    }
    clock = module.TrainingClock()
    for _ in range(9):
        clock.step_done()
    module.evaluate_bpb(uniform, tokenizer, 4)
    line = json.loads(result.read_text().splitlines()[2])
    assert (line["num_steps"], line["planned_steps"]) == (9, clock.planned_steps)
    assert line["planned_steps"] >= 12
    assert line["step_cost"] == clock.step_cost > 0
    assert line["training_seconds"] == clock.training_seconds > 0
    assert line["step_seconds"] == clock.step_seconds > 0


def test_without_a_channel_nothing_is_written(monkeypatch, cache, tmp_path):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    module = load(monkeypatch, cache)
    monkeypatch.setattr(module, "EVAL_TOKENS", 4 * 256)
    module.evaluate_bpb(uniform, module.Tokenizer.from_directory(), 4)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_number_that_is_none_is_never_reported(monkeypatch, cache, tmp_path):
    result = tmp_path / "result.jsonl"
    module = load(monkeypatch, cache, AUTORESEARCH_RESULT=str(result))
    monkeypatch.setattr(module, "EVAL_TOKENS", 4 * 256)
    tokenizer = module.Tokenizer.from_directory()
    with pytest.raises(SystemExit, match=r"(?s)^error: val_bpb is nan.*\n.+"):
        module.evaluate_bpb(lambda x, y, reduction: uniform(x, y, reduction) * math.nan, tokenizer, 4)
    assert not result.exists()
    monkeypatch.setenv("AUTORESEARCH_RESULT", str(tmp_path / "nowhere" / "result"))
    with pytest.raises(SystemExit, match="AUTORESEARCH_RESULT"):
        module.evaluate_bpb(uniform, tokenizer, 4)


def test_the_fingerprint_follows_what_moves_the_metric(monkeypatch, module):
    manifest = module.data_set()[1]
    base = module.fingerprint(manifest)
    assert re.fullmatch("sha256:[0-9a-f]{64}", base)
    elsewhere = manifest | {"origin": "x", "shards": [s | {"mtime_ns": 1, "sha256": "y"} for s in manifest["shards"]]}
    elsewhere["rows"] = {split: record | {"mtime_ns": 1} for split, record in manifest["rows"].items()}
    assert module.fingerprint(elsewhere) == base  # the same text in another file
    changed = [
        manifest | {"shards": [manifest["shards"][0], manifest["shards"][1] | {"text_sha256": "other"}]},
        manifest | {"tokenizer": manifest["tokenizer"] | {"sha256": "other"}},
        manifest | {"packing": "other"},
        *(manifest | {"rows": manifest["rows"] | {n: manifest["rows"][n] | {"sha256": "other"}}} for n in ("train", "val")),
    ]
    found = {module.fingerprint(m) for m in changed}
    monkeypatch.setattr(module, "EVAL_TOKENS", 1)
    found.add(module.fingerprint(manifest))
    assert len(found | {base}) == 7


# ---------------------------------------------------------------------------
# Clock
# ---------------------------------------------------------------------------


def clock_run(monkeypatch, module, step_seconds, reference=0.01):
    """
    The progress that each step of a run sees whose steps take these seconds, and its clock. The reference work takes
    `reference` seconds, which belong to no step.
    """
    now = [0.0]

    def reference_seconds():
        now[0] += reference
        return reference

    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    monkeypatch.setattr(module, "reference_seconds", reference_seconds)
    clock, seen = module.TrainingClock(), []
    durations = iter(step_seconds)
    while not clock.done:
        seen.append(clock.progress)
        now[0] += next(durations)
        clock.step_done()
    return seen, clock


def test_a_step_budget_follows_the_pace_of_the_first_steps(monkeypatch, cache):
    module = load(monkeypatch, cache, AUTORESEARCH_BUDGET="20")
    jitter = [0.01, 0.13, 0.2, 0.126, 0.15, 0.125, 0.3, 0.125, 0.128]  # warm-up, then eight
    seen, clock = clock_run(monkeypatch, module, itertools.chain(jitter, itertools.repeat(0.2)))
    assert clock.num_steps == clock.planned_steps == round(1.05 ** round(math.log(160, 1.05)))
    assert seen[:9] == [0.0] * 9
    assert seen[9:] == [i / clock.planned_steps for i in range(9, clock.planned_steps)]
    assert clock.progress == 1.0
    assert clock.remaining_seconds == 0
    assert clock.step_seconds == pytest.approx(0.2)
    assert clock.training_seconds == pytest.approx(sum(jitter) + 0.2 * (clock.num_steps - 9))
    assert clock.step_cost == pytest.approx(0.125 / 0.01)


@pytest.mark.parametrize(
    ("asked", "step_seconds", "planned"),
    [
        ("160", 0.01, 160),  # exactly, whatever the pace
        ("160", 9.0, 160),
        ("~160", 20 / 160, 160),
        ("~160", 20 / 150, 160),  # 6.3 % slower
        ("~160", 20 / 171, 160),  # 6.9 % faster
        ("~160", 20 / 173, 176),  # 8 % faster: earns steps
        ("~160", 20 / 147, 145),  # 8 % slower: loses some
        ("~163", 20 / 160, 163),  # the incumbent's number need not lie on the grid
        ("", 20 / 160, 160),  # the grid: ... 145, 152, 160, 168, 176 ...
        ("", 20 / 163, 160),
        ("", 20 / 165, 168),
        ("", 100.0, 12),  # never fewer
    ],
)
def test_the_plan(monkeypatch, cache, asked, step_seconds, planned):
    module = load(monkeypatch, cache, AUTORESEARCH_BUDGET="20", AUTORESEARCH_STEPS=asked)
    _, clock = clock_run(monkeypatch, module, itertools.repeat(step_seconds))
    assert clock.num_steps == planned


@pytest.mark.parametrize("load_factor", [1, 1.7, 30])
@pytest.mark.parametrize(
    ("asked", "relative", "planned"),
    [
        ("", 1, 160),
        ("~160", 1, 160),
        ("~160", 1.06, 160),  # within the tolerance
        ("~168", 1, 168),
        ("~160", 0.8, 204),  # 200, on the grid
        ("~160", 2, 81),
        ("90", 2, 90),
    ],
)
def test_steps_are_earned_relative_to_the_baseline(monkeypatch, cache, asked, relative, planned, load_factor):
    """The baseline made 160 steps, each 12.5 times the reference work. A busy machine slows down both alike."""
    module = load(monkeypatch, cache, AUTORESEARCH_BUDGET="20", AUTORESEARCH_STEPS=asked, AUTORESEARCH_PACE="160@12.5")
    step = 0.125 * relative * load_factor
    _, clock = clock_run(monkeypatch, module, itertools.repeat(step), reference=0.01 * load_factor)
    assert clock.num_steps == planned


def test_the_reference_work_takes_time_and_leaves_random_numbers_alone(module):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    seconds = [module.reference_seconds() for _ in range(5)]
    assert 1e-5 < min(seconds) < 1
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("seed", range(30))
def test_a_rerun_told_the_number_of_steps_sees_the_same_progress(monkeypatch, cache, seed):
    rng = random.Random(seed)
    budget, pace = rng.choice([1, 3, 20, 300]), rng.choice([0.02, 0.12, 0.5, 2.0])

    def durations():
        yield 3 * pace
        while True:
            yield pace * rng.choice([1, 1.02, 1.1, 2, 5]) * rng.uniform(1, 1.03)

    module = load(monkeypatch, cache, AUTORESEARCH_BUDGET=str(budget))
    seen, clock = clock_run(monkeypatch, module, durations())
    again = load(monkeypatch, cache, AUTORESEARCH_BUDGET=str(budget), AUTORESEARCH_STEPS=str(clock.num_steps))
    assert clock_run(monkeypatch, again, durations())[0] == seen
    assert clock.num_steps >= 12


def test_a_budget_in_seconds_counts_every_step(monkeypatch, cache):
    module = load(monkeypatch, cache, AUTORESEARCH_BUDGET="10", AUTORESEARCH_STEPS="3")
    monkeypatch.setattr(module, "BUDGET_IN_STEPS", False)  # as on a GPU, where AUTORESEARCH_STEPS says nothing
    seen, clock = clock_run(monkeypatch, module, itertools.repeat(2.5))
    assert seen == [0.0, 0.25, 0.5, 0.75]
    assert (clock.progress, clock.num_steps, clock.training_seconds) == (1.0, 4, 10.0)


def test_threads_are_told_not_to_spin_before_torch_starts_them(tmp_path):
    code = "import os, sys, prepare; print(os.environ['GOMP_SPINCOUNT'], 'torch' in sys.modules)"
    assert prepare(tmp_path, code=code).stdout == "1000 False\n"
    assert prepare(tmp_path, code=code, GOMP_SPINCOUNT="7").stdout == "7 False\n"


def test_there_is_one_clock_per_run(module):
    module.TrainingClock()
    with pytest.raises(SystemExit, match="second TrainingClock"):
        module.TrainingClock()
