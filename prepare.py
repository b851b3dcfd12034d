"""
The fixed half of autoresearch: data, tokenizer, loader, clock and the metric. No experiment edits this file.

    python prepare.py                      # the data set this device trains on by default
    python prepare.py --source builtin     # the sources of this Python installation: needs no network
    python prepare.py --source ~/books     # any folder of text or parquet files
    python prepare.py --source climbmix --shards 10 --packing split

It prepares once: shards of text, a tokenizer learned from them, and rows of tokens packed from both, which is all that
training reads. train.py imports the second half (Tokenizer, make_dataloader, TrainingClock, evaluate_bpb).

    ~/.cache/autoresearch/                 AUTORESEARCH_CACHE puts it elsewhere
        data/shard_*.parquet               climbmix, where karpathy/autoresearch keeps it too
        tinystories/*.parquet              tinystories, one file
        builtin-v2048-t256/                one directory per source, vocabulary and context length:
            manifest.json                  what lies here, with sizes and hashes
            shard_*.parquet                the text, where the source is builtin or a folder
            tokenizer.tiktoken .json       the tokens in base64 with their ranks; split pattern and special tokens
            train.bin val.bin              rows of context + 1 tokens, 16 bits each, little-endian, nothing else
        source-cpu                         what each device class trains on
"""

import argparse
import ast
import base64
import bisect
import contextlib
import ctypes
import errno
import functools
import glob
import hashlib
import heapq
import http.client
import importlib.util
import itertools
import json
import math
import operator
import os
import queue
import re
import resource
import shlex
import statistics
import sys
import sysconfig
import threading
import time
import urllib.error
import urllib.request
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace


def fail(problem, remedy):
    """The one way out for whatever a user can cause: exit code 1, what is wrong, what to do next."""
    raise SystemExit(f"error: {problem}\n{remedy}")


def setting(name, default, kind):
    """An AUTORESEARCH_* environment variable as a number."""
    text = os.environ.get(name, "")
    try:
        return kind(text) if text else default
    except ValueError:
        fail(f"{name}={text!r} is not a number", f"unset {name}, or set it as in {name}={default}")


# Looked for, not imported: that would take seconds, and a second call needs none of them.
needed = ("numpy", "pyarrow", "rustbpe", "tiktoken", "torch", "tqdm")
missing = [name for name in needed if importlib.util.find_spec(name) is None]
if missing:
    fail(f"{', '.join(missing)} not installed for {sys.executable}", "run: pip install 'git-autoresearch[train]'")

# ---------------------------------------------------------------------------
# Constants (fixed: they define the metric)
# ---------------------------------------------------------------------------

# A number is only comparable within one device class, because each has the context length, the vocabulary and the
# validation set it can afford.
#           context  vocabulary  validation tokens  training shards  default source
CLASSES = {
    "cpu":  (    256,       2048,             65536,               1, "builtin"),
    "mps":  (    512,       4096,            524288,               2, "builtin"),
    "16gb": (   2048,       8192,        4 * 524288,               4, "climbmix"),  # below 20 GiB of GPU memory
    "24gb": (   2048,       8192,        8 * 524288,               6, "climbmix"),  # below 60 GiB
    "h100": (   2048,       8192,       40 * 524288,              10, "climbmix"),  # everything larger
}  # fmt: skip


# Before torch is imported: OpenMP's threads wait for each other by spinning, and where another process wants a core a
# step then took 3 to 30 times as long (measured; twice as long with this). On a quiet machine it costs next to nothing.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

if sys.platform == "linux" and hasattr(ctypes.CDLL(None), "mallopt"):
    # glibc hands every large buffer back to the kernel and faults it in again. Keeping them takes a sixth off a CPU's step.
    ctypes.CDLL(None).mallopt(-3, 2**30)  # M_MMAP_THRESHOLD, bytes
    ctypes.CDLL(None).mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD, bytes


def find_device_class():
    forced = os.environ.get("AUTORESEARCH_DEVICE", "")
    if forced and forced not in CLASSES:
        fail(f"AUTORESEARCH_DEVICE={forced!r} is no device class", f"unset it, or choose one of: {', '.join(CLASSES)}")
    if forced:
        return forced
    # Importing torch takes a second, so ask it only where a driver is: NVIDIA, Jetson, AMD, Windows' Linux.
    drivers = ("/dev/nvidia*", "/dev/nvhost*", "/dev/kfd", "/dev/dxg")
    if sys.platform == "linux" and not any(glob.glob(pattern) for pattern in drivers):
        return "cpu"
    import torch

    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory / 2**30  # GiB
        return "16gb" if memory < 20 else "24gb" if memory < 60 else "h100"
    return "mps" if torch.backends.mps.is_available() else "cpu"


DEVICE_CLASS = find_device_class()
DEVICE = DEVICE_CLASS if DEVICE_CLASS in ("cpu", "mps") else "cuda"
MAX_SEQ_LEN, VOCAB_SIZE, EVAL_TOKENS, DEFAULT_SHARDS, DEFAULT_SOURCE = CLASSES[DEVICE_CLASS]

# Dense bf16 peak in TFLOP/s by the name that torch gives the GPU, from the makers' data sheets.
PEAK_TFLOPS = {
    "B200": 2250, "H200": 989.5, "GH200": 989.5, "H100 NVL": 835, "H100 PCIe": 756, "H100": 989.5, "A100": 312,
    "L40S": 362, "A10G": 70, "L4": 121, "RTX 5090": 209.5, "RTX 4090": 165.2, "RTX 3090": 71,
}  # fmt: skip


def device_name():
    import torch

    return torch.cuda.get_device_name() if DEVICE == "cuda" else DEVICE


def peak_bf16_flops():
    """FLOP/s of this device at its best, or 0 where that is not known."""
    known = [name for name in PEAK_TFLOPS if name in device_name()]
    return 1e12 * PEAK_TFLOPS[max(known, key=len)] if known else 0


def peak_memory():
    """The most bytes held at any time: of the GPU's memory, or by this process where the device has none of its own."""
    import torch

    if DEVICE == "cuda":
        return torch.cuda.max_memory_allocated()
    if DEVICE == "mps":
        return torch.mps.driver_allocated_memory()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def wait_for_device():
    if DEVICE != "cpu":
        import torch

        getattr(torch, DEVICE).synchronize()  # torch.cuda, torch.mps


TIME_BUDGET = setting("AUTORESEARCH_BUDGET", 300.0, float)  # seconds of training
SEED = setting("AUTORESEARCH_SEED", 42, int)

CACHE_DIR = os.path.expanduser(os.environ.get("AUTORESEARCH_CACHE") or "~/.cache/autoresearch")
DATA_DIR = os.path.join(CACHE_DIR, "data")  # climbmix shards
STORIES_DIR = os.path.join(CACHE_DIR, "tinystories")
HUB = "https://huggingface.co/datasets/karpathy"
CLIMBMIX_URL = (os.environ.get("AUTORESEARCH_CLIMBMIX_URL") or f"{HUB}/climbmix-400b-shuffle/resolve/main").rstrip("/")
STORIES_URL = (os.environ.get("AUTORESEARCH_TINYSTORIES_URL") or f"{HUB}/tinystories-gpt4-clean/resolve/main").rstrip("/")
SOURCES = ("climbmix", "tinystories", "builtin")  # or a folder
VAL_SHARD = 6542  # the last shard of climbmix, never trained on
VAL_NAME = f"shard_{VAL_SHARD:05d}.parquet"
FORMAT = 2  # of the manifest and the rows; another number means "prepare again"
RULES = ("upstream", "split")  # how documents become rows: see pack_rows
# `split` wastes no text, yet val_bpb after 190 steps on a CPU, less than one pass, is worse (mean of seeds 42, 43, 44):
# 1.7419 against 1.7128 on the built-in corpus, 1.5242 against 1.5122 with 22 % of the tokens in documents longer than a
# row; the seeds of one cell differ by 0.004 to 0.014. Validation is packed by `upstream` in any case, which has no pieces
# that begin within a document.
PACKING = "upstream"
assert VOCAB_SIZE <= 2**15, "token numbers are signed 16 bits wide on their way to the device"

# GPT-4's way of cutting text before BPE, but numbers in pairs of digits: the vocabulary is small.
SPLIT_PATTERN = (
    r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,2}|"""
    r""" ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"""
)
SPECIAL_TOKENS = [f"<|reserved_{i}|>" for i in range(4)]
BOS_TOKEN = SPECIAL_TOKENS[0]

# ---------------------------------------------------------------------------
# Files that are whole or absent
# ---------------------------------------------------------------------------


@contextlib.contextmanager
def whole_file(path):
    """A binary file to write to, such that a kill or a power cut leaves the old file or the new one, never a part."""
    with open(path + ".part", "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".part", path)


def remove_leftovers(directory):
    for path in glob.glob(os.path.join(glob.escape(directory), "*.part")):
        os.remove(path)


def file_sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()


def file_record(path, sha256=None):
    """What the manifest remembers of one file."""
    name, stat = os.path.basename(path), os.stat(path)
    return {"name": name, "size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "sha256": sha256 or file_sha256(path)}


def check_file(path, record):
    """
    The record of the file at `path` if it is what `record` says, else None. Its content is only read where its size is
    right and its time is not. Without a record, a shard that reads well is taken as it is.
    """
    if not os.path.exists(path):
        return None
    if record is None:  # somebody else's download, or ours before the manifest was written
        return file_record(path) if reads_as_parquet(path) else None
    stat = os.stat(path)
    if stat.st_size != record["size"]:
        return None
    if stat.st_mtime_ns == record["mtime_ns"]:
        return record
    found = file_record(path)
    return record | found if found["sha256"] == record["sha256"] else None


def reads_as_parquet(path):
    """Whether the beginning is there, and the footer, which is written last and names a column `text` of strings."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with open(path, "rb") as file:
            kind = pq.read_schema(path).field("text").type if file.read(4) == b"PAR1" else None
        return kind in (pa.string(), pa.large_string())
    except (OSError, ValueError, KeyError):  # pyarrow's own errors derive from the first two
        return False


def read_texts(path, span=(0, sys.maxsize)):
    """
    The documents of one shard, or those numbered span[0] to span[1] - 1, in lists of up to 1024 that never cross a row
    group: training packs 128 at a time, and upstream begins anew with each row group.
    """
    import pyarrow.parquet as pq

    number = 0  # of the next list's first document
    try:
        with pq.ParquetFile(path, buffer_size=2**20) as file:
            for i in range(file.num_row_groups):
                for batch in file.iter_batches(1024, row_groups=[i], columns=["text"]):
                    texts = batch.column(0).to_pylist()[max(span[0] - number, 0) : max(span[1] - number, 0)]
                    if texts:
                        yield [text or "" for text in texts]  # a null is an empty document
                    number += batch.num_rows
                    if number >= span[1]:
                        return
    except (OSError, ValueError) as error:
        fail(f"{path} is damaged: {str(error).splitlines()[0]}", "delete it, then run python prepare.py again")


def read_manifest(directory):
    """The manifest of one prepared data set, or None where there is none that this file wrote."""
    try:
        with open(os.path.join(directory, "manifest.json"), encoding="utf-8") as file:
            manifest = json.load(file)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    same = {"format": FORMAT, "vocab_size": VOCAB_SIZE, "max_seq_len": MAX_SEQ_LEN}
    return manifest if isinstance(manifest, dict) and all(manifest.get(k) == v for k, v in same.items()) else None


def content_of(shard):
    """A shard's content in one word: a hash of the text where we wrote the file, so that two parquet writers agree."""
    return shard.get("text_sha256") or shard["sha256"] + (str(shard["span"]) if "span" in shard else "")


def hash_of(facts):
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def fingerprint(manifest):
    """One hash for everything about the data that moves the metric."""
    facts = {key: manifest[key] for key in ("format", "packing", "vocab_size", "max_seq_len")}
    facts["eval_tokens"] = EVAL_TOKENS
    facts["tokenizer"] = manifest["tokenizer"]["sha256"]
    facts["shards"] = [[shard["name"], content_of(shard)] for shard in manifest["shards"]]
    facts["rows"] = {split: record["sha256"] for split, record in manifest["rows"].items()}
    return "sha256:" + hash_of(facts)


@contextlib.contextmanager
def only_one_at_work():
    """Two prepare.py at once: the second waits, and then finds everything done."""
    import fcntl

    os.makedirs(CACHE_DIR, exist_ok=True)
    with open(os.path.join(CACHE_DIR, "prepare.lock"), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for another prepare.py at work in {CACHE_DIR}", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def progress_bar(stage, unit, total=None):
    """On stderr, and only on a terminal: in a log, the line that each stage prints at its end must do."""
    from tqdm import tqdm

    return tqdm(total=total, desc=stage, unit=unit, unit_scale=True, disable=None, leave=False)


# ---------------------------------------------------------------------------
# Downloads, of whole files side by side
# ---------------------------------------------------------------------------

ATTEMPTS = 4  # per file
BACKOFF = 1.0  # seconds before the second attempt, doubled before each further one
TIMEOUT = 30  # seconds without a byte
OFFLINE = "what needs no network: python prepare.py --source builtin"
NO_RETRY = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS)


class Hopeless(Exception):
    """A download that no further attempt will mend."""

    @property
    def advice(self):
        return "look at HTTPS_PROXY and NO_PROXY" if re.search("407|proxy|tunnel", str(self), re.I) else "try again later"


class LinkedEtag(urllib.request.HTTPRedirectHandler):
    """Hugging Face states a file's sha256 on its own answer, not on that of the CDN which it redirects to."""

    etag = None

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        self.etag = self.etag or headers.get("X-Linked-Etag") or ""
        return super().redirect_request(req, fp, code, msg, headers, newurl)

    def promised_sha256(self, response):
        etag = response.headers.get("X-Linked-Etag") or self.etag
        if etag is None:  # not redirected, so the ETag is this file's own
            etag = response.headers.get("ETag") or ""
        found = re.fullmatch(r'(?:W/)?"?([0-9a-f]{64})"?', etag.strip())
        return found[1] if found else None


def receive(url, part, report):
    """
    One attempt at what is still missing of `part`; None when it is whole, else what is wrong. report(received, expected)
    is told of every chunk: bytes more, and the file's length where the server states it.
    """
    request = urllib.request.Request(url, headers={"User-Agent": "git-autoresearch"})  # noqa: S310
    if part.have:
        request.add_header("Range", f"bytes={part.have}-")
    redirects = LinkedEtag()
    with urllib.request.build_opener(redirects).open(request, timeout=TIMEOUT) as response:
        resumed = part.have > 0 and response.status == 206
        if not resumed or response.headers.get("ETag") != part.version:
            report(-part.have, None)
            part.have, part.digest = 0, hashlib.sha256()
        if resumed and part.have == 0:
            return "the file changed on the server"
        part.version, promised = response.headers.get("ETag"), redirects.promised_sha256(response)
        length = response.headers.get("Content-Length")
        length = None if length is None else part.have + int(length)
        with open(part.path, "ab" if resumed else "wb") as file:
            while chunk := response.read(2**20):
                file.write(chunk)
                part.digest.update(chunk)
                part.have += len(chunk)
                report(len(chunk), length)
            file.flush()
            os.fsync(file.fileno())
    if length is not None and part.have != length:
        return f"the connection closed after {part.have:,} of {length:,} bytes"  # and is resumed
    found, problem = part.digest.hexdigest(), None
    if promised is not None and found != promised:
        problem = f"checksum {found[:12]}... arrived, {promised[:12]}... was promised"
    elif not reads_as_parquet(part.path):
        problem = "what arrived is no parquet file with a column `text`"
    if problem:
        report(-part.have, None)
        part.have = 0  # wrong bytes: start over
    return problem


def fetch(url, path, report):
    """
    One file, as a record. A broken connection is resumed where the server allows it; the file gets its name only when
    length, checksum and footer are right.
    """
    part = SimpleNamespace(path=path + ".part", have=0, digest=hashlib.sha256(), version=None)
    for attempt in range(ATTEMPTS):
        if attempt > 0:
            time.sleep(BACKOFF * 2 ** (attempt - 1))
        try:
            problem = receive(url, part, report)
            if problem is None:
                os.replace(part.path, path)
                return file_record(path, part.digest.hexdigest())
        except urllib.error.HTTPError as error:
            problem = f"the server answered {error.code} {error.reason}"
            if error.code == 416:  # nothing left to resume
                report(-part.have, None)
                part.have = 0
            elif 400 <= error.code < 500 and error.code not in (408, 429):
                break
        except (OSError, http.client.HTTPException, ValueError) as error:  # the last for what is no URL
            if getattr(error, "errno", None) in NO_RETRY:
                raise
            problem = str(getattr(error, "reason", error)) or type(error).__name__
            if "Tunnel connection failed: 4" in problem:  # what a proxy answers
                break
    raise Hopeless(problem)


def download(source, base_url, directory, names, workers):
    """Fetch files side by side; returns {name: record}. The first hopeless one ends it all."""
    todo, events = deque(names), queue.Queue()

    def work():
        with contextlib.suppress(IndexError):
            while True:
                name = todo.popleft()
                try:
                    report = functools.partial(lambda name, *progress: events.put((name, progress)), name)
                    events.put((name, fetch(f"{base_url}/{name}", os.path.join(directory, name), report)))
                except Exception as error:
                    events.put((name, error))

    print(f"{source}: {len(names)} of its files to fetch from {base_url}", flush=True)
    for _ in range(min(workers, len(names))):
        threading.Thread(target=work, daemon=True).start()  # daemon: ^C does not wait for a slow server
    records, lengths, start = {}, {}, time.time()
    with progress_bar(source, "B") as bar:
        while len(records) < len(names):
            name, event = events.get()
            if isinstance(event, Hopeless):
                fail(f"could not download {base_url}/{name}: {event}", f"{event.advice}, or train on {OFFLINE}")
            elif isinstance(event, Exception):
                raise event
            elif isinstance(event, dict):
                records[name] = event
            else:
                lengths[name] = event[1] or lengths.get(name, 0)
                bar.total = sum(lengths.values()) / len(lengths) * len(names)  # the others are about as long
                bar.update(event[0])
    megabytes = sum(record["size"] for record in records.values()) / 1e6
    print(f"{source}: {len(records)}/{len(names)} files, {megabytes:,.1f} MB in {time.time() - start:.1f} s", flush=True)
    return records


# ---------------------------------------------------------------------------
# Sources 1 and 2: climbmix, 400 B tokens of the web in shards, and tinystories, one file; both downloaded
# ---------------------------------------------------------------------------

# Of tinystories, its authors set the first 10,000 documents apart for tests and the next 10,000 for validation.
TINYSTORIES_VAL, TINYSTORIES_TRAIN = [10_000, 20_000], [20_000, sys.maxsize]


def prepare_climbmix(num_shards, workers, old):
    """Shards 0 to num_shards-1 and the validation shard, as records in training order with validation last."""
    known = {record["name"]: record for record in old["shards"]}
    num_shards = num_shards or len(known) - 1
    num_shards = DEFAULT_SHARDS if num_shards < 1 else min(num_shards, VAL_SHARD)
    names = [f"shard_{i:05d}.parquet" for i in range(num_shards)] + [VAL_NAME]
    records = {name: check_file(os.path.join(DATA_DIR, name), known.get(name)) for name in names}
    wanted = [name for name in names if records[name] is None]
    if wanted:
        records |= download("climbmix", CLIMBMIX_URL, DATA_DIR, wanted, workers)
    return [records[name] for name in names]


def prepare_tinystories(workers, old):
    """One file, of which a shard is a span of documents."""
    name = "tinystories_gpt4_clean.parquet"
    record = check_file(os.path.join(STORIES_DIR, name), old["shards"][0] if old["shards"] else None)
    if record is None:
        record = download("tinystories", STORIES_URL, STORIES_DIR, [name], workers)[name]
    return [record | {"span": TINYSTORIES_TRAIN}, record | {"span": TINYSTORIES_VAL}]


# ---------------------------------------------------------------------------
# Source 3: the built-in corpus, the sources and documentation in every Python installation
# ---------------------------------------------------------------------------

# Not walked: other people's packages, tests (repetitive), and what names this machine's paths.
SKIPPED_FOLDERS = {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__", "lib-dynload"}
SKIPPED_FILES = re.compile(r"config-.*/|_sysconfigdata|sitecustomize|python-config")
DOC_CHARS = 2 * MAX_SEQ_LEN  # nearly every document fits into a row; of longer ones the packing would drop the rest


def library_files():
    """(path, text) of the standard library's sources, documentation and licences, each text once."""
    root = sysconfig.get_paths()["stdlib"]
    paths = []
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in SKIPPED_FOLDERS]
        paths += [os.path.relpath(os.path.join(folder, name), root).replace(os.sep, "/") for name in names]
    seen = set()
    for path in sorted(paths):
        source = os.path.join(root, path)
        documentation = path.endswith((".txt", ".rst")) or os.path.basename(path).startswith("LICENSE")
        if not (path.endswith(".py") or documentation) or SKIPPED_FILES.search(path) or os.path.islink(source):
            continue
        try:
            with open(source, encoding="utf-8", newline="") as file:
                text = file.read()
        except (OSError, UnicodeDecodeError):
            continue
        for name, part in topics(text) if path == "pydoc_data/topics.py" else [(path, text)]:
            if part.strip() and part not in seen:
                seen.add(part)
                yield name, part


def topics(source):
    """(path, text) of each page of the language reference, which lies in pydoc_data as one dictionary."""
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Dict):
            for name, text in ast.literal_eval(statement.value).items():
                yield f"pydoc_data/topics/{name}.rst", text


def cut(text, limit):
    """`text` in pieces of at most `limit` characters, cut at blank lines where there is one, else between lines."""
    start = 0
    while len(text) - start > limit:
        at = text.rfind("\n\n", start + limit // 2, start + limit - 1) + 2
        if at < 2:
            at = text.rfind("\n", start, start + limit) + 1 or start + limit
        yield text[start:at]
        start = at
    yield text[start:]


def hashed(text):
    return hashlib.sha256(text.encode()).digest()


def held_out(digest):
    """Whether what has this hash is for validation: one in twenty is."""
    return int.from_bytes(digest, "big") % 20 == 0


def prepare_builtin(directory):
    """The library's files in pieces. A file is in one half only; in order of their hashes the pieces lie shuffled."""
    halves = [], []  # training and validation, of (hash, piece)
    for path, text in library_files():
        halves[held_out(hashed(path))].extend((hashed(f"{path}:{i}"), piece) for i, piece in enumerate(cut(text, DOC_CHARS)))
    if not all(halves):
        fail(f"the Python at {sys.prefix} carries no sources of its standard library",
             "use another Python, or the downloaded corpus: python prepare.py --source climbmix")  # fmt: skip
    return write_shards(directory, *((piece for _, piece in sorted(half)) for half in halves))


# ---------------------------------------------------------------------------
# Source 4: a folder of parquet and text files
# ---------------------------------------------------------------------------

SUFFIXES = (".parquet .txt .text .md .markdown .rst .org .adoc .tex .html .py .c .h .cc .cpp .hpp .cu .rs .go .java .kt .swift .js "
            ".ts .cs .rb .php .lua .r .jl .hs .sh .sql")  # fmt: skip
SEPARATOR = "<|endoftext|>"  # between the documents of one text file
SHARD_CHARS = 250_000_000  # climbmix's


def folder_files(root):
    """(path, size, time) of the files below `root` that could hold text, sorted; nothing hidden."""

    def unreadable(error):
        fail(f"{error.strerror}: {error.filename}", f"give access to {root}, or name another folder: --source DIR")

    found = []
    for folder, folders, names in os.walk(root, onerror=unreadable):
        folders[:] = [n for n in folders if n[0] != "." and not os.path.samefile(os.path.join(folder, n), CACHE_DIR)]
        for name in names:
            path = os.path.join(folder, name)
            if name[0] != "." and name.lower().endswith(tuple(SUFFIXES.split())) and os.path.isfile(path):
                stat = os.stat(path)
                found.append((os.path.relpath(path, root), stat.st_size, stat.st_mtime_ns))
    return sorted(found)


def is_text(path):
    """Whether all of a file is UTF-8 without NULs. Read to its end before any of it counts."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return all("\0" not in block for block in iter(functools.partial(file.read, 2**20), ""))
    except (OSError, UnicodeDecodeError):
        return False


def text_documents(path):
    """The documents of a parquet file, or what lies between a text file's separators, in pieces of at most DOC_CHARS."""
    if path.lower().endswith(".parquet"):
        yield from itertools.chain.from_iterable(read_texts(path))
        return
    rest = ""
    with open(path, encoding="utf-8-sig", newline="") as file:
        while block := file.read(2**20):
            *whole, rest = (rest + block).split(SEPARATOR)
            pieces = [list(cut(document, DOC_CHARS)) for document in [*whole, rest]]
            # Of the last document, whose end is still to be read, all but two pieces are certain: what comes next neither
            # moves their ends nor completes a separator in them.
            rest = "".join(pieces[-1][-2:])
            pieces[-1] = pieces[-1][:-2]
            yield from (piece.strip("\r\n") for piece in itertools.chain(*pieces))
    yield from (piece.strip("\r\n") for piece in cut(rest, DOC_CHARS))


def sorted_runs(documents, directory):
    """
    The documents in runs, each in order of its hashes and no longer than one shard, as this is done in memory. All but the
    last run are on disk, and given as paths; the last is a list of (hash, document).
    """
    runs, run, chars = [], {}, 0
    for document in documents:
        run[hashed(document)] = document
        chars += len(document) + 200  # for Python's own
        if chars > SHARD_CHARS:
            runs.append(os.path.join(directory, f"run_{len(runs)}.part"))
            write_shard(runs[-1], (document for _, document in sorted(run.items())), row_group_size=64)
            run, chars = {}, 0
    return [*runs, sorted(run.items())]


def prepare_folder(root, files, directory):
    """
    Shards of the documents in `files`, each different one once, shuffled by sorting their hashes: the same on every machine,
    whatever the files are called. One in twenty is for validation, as its own hash says.
    """
    paths = [os.path.join(root, name) for name, _, _ in files]
    good = [path for path in paths if (reads_as_parquet if path.lower().endswith(".parquet") else is_text)(path)]
    skipped = f", {len(paths) - len(good)} skipped: not UTF-8, or without a column `text`" if len(good) < len(paths) else ""
    print(f"folder:    {len(good)} files with text{skipped}", flush=True)
    if not good:
        fail(f"{root} holds no text", "name a folder with parquet files that have a column `text`, or with .txt, .md, ...")
    with progress_bar("folder", " files", len(good)) as bar:

        def documents():
            for path in good:
                yield from filter(str.strip, text_documents(path))
                bar.update()

        *runs, last = sorted_runs(documents(), directory)

    def merged(half):
        files = (((hashed(text), text) for texts in read_texts(path) for text in texts) for path in runs)
        for digest, same in itertools.groupby(heapq.merge(*files, last), key=operator.itemgetter(0)):
            if held_out(digest) == half:
                yield next(same)[1]

    return write_shards(directory, merged(False), merged(True))


# ---------------------------------------------------------------------------
# Shards of our own, for sources 3 and 4
# ---------------------------------------------------------------------------


def write_shard(path, texts, row_group_size=1024):
    """Write one parquet file as climbmix's are, a row group at a time; returns its record."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema, texts = pa.schema([("text", pa.large_string())]), iter(texts)
    count, digest = 0, hashlib.sha256()
    with whole_file(path) as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
        while group := list(itertools.islice(texts, row_group_size)):
            writer.write_table(pa.table({"text": group}, schema))
            count += len(group)
            digest.update(b"".join(map(hashed, group)))
    return file_record(path) | {"documents": count, "text_sha256": digest.hexdigest()}


def write_shards(directory, train, val):
    """Shards of these texts, in this order, as records with validation last."""
    records, train = [], iter(train)

    def shard(first):
        chars = len(first)
        yield first
        while chars < SHARD_CHARS and (text := next(train, None)) is not None:
            yield text
            chars += len(text)

    for first in train:
        records.append(write_shard(os.path.join(directory, f"shard_{len(records):05d}.parquet"), shard(first)))
    records.append(write_shard(os.path.join(directory, VAL_NAME), val))
    if len(records) == 1 or not records[-1]["documents"]:
        fail("there is too little text to train on one part and validate on another", "name a folder with more text")
    for path in glob.glob(os.path.join(glob.escape(directory), "shard_*.parquet")):
        if os.path.basename(path) not in {record["name"] for record in records}:
            os.remove(path)  # of a folder that once filled more shards
    return records


# ---------------------------------------------------------------------------
# Tokenizer: byte pair encoding, learned from the training shards
# ---------------------------------------------------------------------------


def shard_path(source, directory, shard):
    return os.path.join({"climbmix": DATA_DIR, "tinystories": STORIES_DIR}.get(source, directory), shard["name"])


def shard_texts(source, directory, shards):
    """The documents of several shards, in the lists of read_texts."""
    for shard in shards:
        yield from read_texts(shard_path(source, directory, shard), shard.get("span", [0, sys.maxsize]))


def tokenizer_sha256(directory):
    """One hash for both files of the tokenizer, or None where one is missing."""
    digest = hashlib.sha256()
    try:
        for name in ("tokenizer.tiktoken", "tokenizer.json"):
            with open(os.path.join(directory, name), "rb") as file:
                digest.update(file.read())
    except FileNotFoundError:
        return None
    return digest.hexdigest()


def learn_tokens(documents):
    """Byte pair encoding of these texts: (the tokens in order of their ranks, the pattern that cuts text before)."""
    import rustbpe

    bpe = rustbpe.Tokenizer()
    bpe.train_from_iterator(documents, VOCAB_SIZE - len(SPECIAL_TOKENS), pattern=SPLIT_PATTERN)
    ranks = {rank: bytes(token) for token, rank in bpe.get_mergeable_ranks()}
    if len(ranks) != VOCAB_SIZE - len(SPECIAL_TOKENS):
        remedy = "prepare more of it: a larger folder, or --shards 2"
        fail(f"the text is too short to learn {VOCAB_SIZE:,} tokens from it", remedy)
    return [ranks[i] for i in range(len(ranks))], bpe.get_pattern()


def prepare_tokenizer(source, directory, shards, old, max_chars=1_000_000_000, doc_cap=10_000):
    """
    Train on the first billion characters of the training shards, at most 10,000 of a document. The result is two
    files of text that cannot execute. Returns what the manifest remembers: the hash and what it was trained on.
    """
    content = [content_of(record) for record in shards[:-1]]  # not the validation shard
    if old and old["sha256"] == tokenizer_sha256(directory):
        read = old["trained_on"]
        if read == content or (old["reached_limit"] and read == content[: len(read)]):
            return old
    start, chars, shards_read = time.time(), 0, 0

    def documents():
        nonlocal chars, shards_read
        for shard in shards[:-1]:
            shards_read += 1
            for text in itertools.chain.from_iterable(shard_texts(source, directory, [shard])):
                yield text[:doc_cap]
                chars += min(len(text), doc_cap)
                bar.update(min(len(text), doc_cap))
                if chars >= max_chars:
                    return

    print(f"tokenizer: learning {VOCAB_SIZE:,} tokens ...", flush=True)
    with progress_bar("tokenizer", " characters") as bar:
        tokens, pattern = learn_tokens(documents())
    lines = b"".join(base64.b64encode(token) + b" %d\n" % rank for rank, token in enumerate(tokens))
    specials = {name: len(tokens) + i for i, name in enumerate(SPECIAL_TOKENS)}
    facts = json.dumps({"pattern": pattern, "special_tokens": specials}, indent=1).encode()
    for name, data in (("tokenizer.tiktoken", lines), ("tokenizer.json", facts)):
        with whole_file(os.path.join(directory, name)) as file:
            file.write(data)
    print(f"tokenizer: learned from {chars / 1e6:,.1f} M characters in {time.time() - start:.1f} s", flush=True)
    return {"sha256": tokenizer_sha256(directory), "trained_on": content[:shards_read], "reached_limit": chars >= max_chars}


# ---------------------------------------------------------------------------
# Packing: documents into rows of MAX_SEQ_LEN + 1 tokens
# ---------------------------------------------------------------------------


def tokenized(lists, tokenizer, workers, batch_size=128):
    """
    Batches of up to 128 documents as arrays of 16-bit token numbers that begin with BOS, in the order of the texts.
    Threads work a few batches ahead: tiktoken needs no lock while it works.
    """
    import numpy as np

    def encode(texts):
        documents = []
        for text in texts:
            tokens = tokenizer.enc.encode_to_numpy(text, disallowed_special=())  # special tokens are text like any other
            documents.append(np.empty(len(tokens) + 1, "<u2"))
            documents[-1][0], documents[-1][1:] = tokenizer.bos_token_id, tokens
        return documents

    batches = (texts[i : i + batch_size] for texts in lists for i in range(0, len(texts), batch_size))
    with ThreadPoolExecutor(workers) as pool:
        ahead = deque()
        for texts in batches:
            ahead.append(pool.submit(encode, texts))
            if len(ahead) > 2 * workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


class Buffer:
    """Documents by length: one queue per length and a sorted list of the lengths, so that none is ever searched."""

    def __init__(self):
        self.queues, self.lengths, self.size = {}, [], 0

    def put(self, document):
        if len(document) not in self.queues:
            self.queues[len(document)] = deque()
            bisect.insort(self.lengths, len(document))
        self.queues[len(document)].append(document)
        self.size += 1

    def take(self, room):
        """The longest that fits, or the shortest where none does; of equally long ones the oldest."""
        i = max(bisect.bisect_right(self.lengths, room) - 1, 0)
        same_length = self.queues[self.lengths[i]]
        document = same_length.popleft()
        if not same_length:
            del self.queues[self.lengths.pop(i)]
        self.size -= 1
        return document


def pack_rows(batches, capacity, bos=None, buffer_size=1000):
    """
    Rows of exactly `capacity` tokens, each beginning with a document, from an iterator of lists of documents.

    Rule `upstream`, without `bos`, is karpathy/autoresearch's best fit. Of at least 1000 buffered documents the longest
    that still fits comes next; where none fits, the shortest is cut to the room that is left, and its rest dropped.
    Rule `split`, with `bos`, drops nothing: a document longer than a row enters the buffer as several pieces, and the
    rest of one that is cut goes back there; each piece begins with BOS.

    When the batches end, the rule goes on with what is in the buffer (until then, rows are upstream's, whose batches
    never end), and the last row is left out if it cannot be filled.
    """
    import numpy as np

    def pieces(document):
        for start in range(0, len(document) - 1, capacity - 1):
            piece = document[start : start + capacity].copy()
            piece[0] = bos
            yield piece

    buffer = Buffer()
    while True:
        row, filled = np.empty(capacity, "<u2"), 0
        while filled < capacity:
            while buffer.size < buffer_size and (documents := next(batches, None)) is not None:
                for document in documents:
                    for piece in (document,) if bos is None or len(document) <= capacity else pieces(document):
                        buffer.put(piece)
            if not buffer.size:
                return
            room = capacity - filled
            document = buffer.take(room)
            row[filled : filled + len(document)] = document[:room]
            filled += min(len(document), room)
            if bos is not None and len(document) > room:
                rest = document[room - 1 :].copy()
                rest[0] = bos
                buffer.put(rest)
        yield row


def pack(source, directory, split, shards, packing, workers):
    """
    Write train.bin or val.bin; returns its record. Training rows are one pass over the training shards. Validation rows
    are the first of an endless loader over the validation shard, as upstream's loader would deal them.
    """
    import pyarrow.parquet as pq

    tokenizer, path = Tokenizer.from_directory(directory), os.path.join(directory, f"{split}.bin")
    if not any(shard_texts(source, directory, shards)):
        fail(f"{source} has no documents for {split}.bin", f"prepare more of it, or {OFFLINE}")
    val, capacity, start, count, digest = split == "val", MAX_SEQ_LEN + 1, time.time(), 0, hashlib.sha256()
    num_rows = EVAL_TOKENS // MAX_SEQ_LEN if val else None
    total = num_rows or sum(pq.read_metadata(shard_path(source, directory, shard)).num_rows for shard in shards)
    with progress_bar(f"packing {split}.bin", " rows" if val else " documents", total) as bar, whole_file(path) as file:

        def texts():
            for _ in itertools.count() if val else range(1):
                for texts in shard_texts(source, directory, shards):
                    yield texts
                    bar.update(0 if val else len(texts))

        bos = tokenizer.bos_token_id if packing == "split" else None
        for row in itertools.islice(pack_rows(tokenized(texts(), tokenizer, workers), capacity, bos), num_rows):
            file.write(row)
            digest.update(row)
            count += 1
            bar.update(1 if val else 0)
        if not count:
            fail(f"{source} does not fill one row of {capacity:,} tokens", "prepare more of it: a larger folder, or --shards 2")
    seconds = time.time() - start
    rate = count * capacity / seconds / 1e6
    print(f"packing:   {split}.bin, {count:,} rows of {capacity:,} tokens in {seconds:.1f} s, {rate:.1f} M tokens/s", flush=True)
    return file_record(path, digest.hexdigest()) | {"rows": count, "packing": packing}


def prepare_rows(source, directory, shards, tokenizer, packing, workers, old):
    """Records of train.bin and val.bin. What was made from the same text by the same tokenizer and rule is kept."""
    rows = {}
    for split, part, rule in (("train", shards[:-1], packing), ("val", shards[-1:], "upstream")):
        made_from = hash_of([rule, tokenizer["sha256"], list(map(content_of, part)), EVAL_TOKENS * (split == "val")])
        record = old.get(split)
        if record and record["made_from"] == made_from:
            rows[split] = check_file(os.path.join(directory, record["name"]), record)
        if rows.get(split) is None:
            rows[split] = pack(source, directory, split, part, rule, workers) | {"made_from": made_from}
    return rows


# ---------------------------------------------------------------------------
# python prepare.py
# ---------------------------------------------------------------------------


def directory_of(source):
    """Where the data set made from it lies."""
    if source not in SOURCES:  # a folder: its name for people, and which of that name
        name = re.sub(r"[^\w.-]+", "_", os.path.basename(source))[:40] or "folder"
        source = f"{name}-{hashlib.sha256(os.fsencode(source)).hexdigest()[:8]}"
    return os.path.join(CACHE_DIR, f"{source}-v{VOCAB_SIZE}-t{MAX_SEQ_LEN}")


def prepare_shards(source, directory, num_shards, workers, old):
    """(records with validation last, where they are from, what tells an unchanged folder)."""
    if source == "climbmix":
        return prepare_climbmix(num_shards, workers, old), CLIMBMIX_URL, None
    if source == "tinystories":
        return prepare_tinystories(workers, old), STORIES_URL, None
    files = None if source == "builtin" else folder_files(source)
    state = files and hash_of(files)
    kept = [check_file(os.path.join(directory, shard["name"]), shard) for shard in old["shards"]]
    if kept and all(kept) and old["folder"] == state:
        return kept, old["origin"], state
    if source == "builtin":
        shards, origin = prepare_builtin(directory), f"Python {sys.version.split()[0]}"
    else:
        shards, origin = prepare_folder(source, files, directory), f"{len(files)} files"
    same = list(map(content_of, shards)) == list(map(content_of, old["shards"]))
    return shards, old["origin"] if same else origin, state


def prepare(source, num_shards, workers, packing):
    directory = directory_of(source)
    with only_one_at_work(), contextlib.ExitStack() as stack:
        for folder in {directory, os.path.dirname(shard_path(source, directory, {"name": ""}))}:
            os.makedirs(folder, exist_ok=True)
            remove_leftovers(folder)  # of a process that was killed
            stack.callback(remove_leftovers, folder)  # and of this one, if it fails: the disk may be full
        old = read_manifest(directory) or {"shards": [], "tokenizer": None, "rows": {}, "packing": PACKING}
        packing = packing or old["packing"]
        shards, origin, folder = prepare_shards(source, directory, num_shards, workers, old)
        tokenizer = prepare_tokenizer(source, directory, shards, old["tokenizer"])
        rows = prepare_rows(source, directory, shards, tokenizer, packing, workers, old["rows"])
        manifest = {
            "format": FORMAT, "source": source, "origin": origin, "folder": folder, "vocab_size": VOCAB_SIZE,
            "max_seq_len": MAX_SEQ_LEN, "packing": packing, "tokenizer": tokenizer, "shards": shards, "rows": rows,
        }  # fmt: skip
        if manifest != old:
            with whole_file(os.path.join(directory, "manifest.json")) as file:
                file.write(json.dumps(manifest, indent=1).encode())
        if read_pointer() != source:
            with whole_file(os.path.join(CACHE_DIR, f"source-{DEVICE_CLASS}")) as file:
                file.write(os.fsencode(source))
    size = sum(record["size"] for record in shards)
    print(f"source:    {source} ({origin}), {len(shards) - 1} + 1 shards, {size / 1e6:,.1f} MB")
    print(f"device:    {DEVICE_CLASS}: context {MAX_SEQ_LEN}, {VOCAB_SIZE:,} tokens, {EVAL_TOKENS:,} for validation")
    print(f"rows:      {rows['train']['rows']:,} for training (packing {packing}), {rows['val']['rows']:,} for validation")
    print(f"data:      {fingerprint(manifest)}")
    print(f"ready in {directory}; now run: python train.py")


def source_named(text):
    """climbmix, tinystories, builtin, or a folder as an absolute path."""
    path = os.path.abspath(os.path.expanduser(text))
    if text in SOURCES:
        return text
    if not os.path.isdir(path):
        fail(f"--source {text}: there is no such folder", f"name a folder that exists, or one of: {', '.join(SOURCES)}")
    return path


def main():
    parser = argparse.ArgumentParser(description="Prepare data and tokenizer for train.py. Safe to run again.")
    option = parser.add_argument
    option("--source", default=DEFAULT_SOURCE, metavar="|".join((*SOURCES, "DIR")),
           help="climbmix: web text, downloaded; tinystories: short stories, downloaded; builtin: the sources and "
           "documentation of this Python installation, offline; DIR: a folder of parquet and text files "
           f"(default for device class {DEVICE_CLASS}: {DEFAULT_SOURCE})")  # fmt: skip
    option("--shards", "--num-shards", type=int, metavar="N",
           help=f"climbmix: training shards of 250 M characters, -1 for all (default: {DEFAULT_SHARDS})")  # fmt: skip
    option("--packing", choices=RULES, help="what becomes of documents that do not fit into the row: cut, the rest dropped, as "
           f"upstream does; or split over rows (default: as before, else {PACKING})")  # fmt: skip
    option("--workers", type=int, default=min(os.cpu_count() or 1, 16), metavar="N",
           help="downloads at once, and threads that tokenise (default: %(default)s)")  # fmt: skip
    args = parser.parse_args()
    if args.shards is not None and args.shards != -1 and args.shards < 1:
        parser.error("--shards must be at least 1, or -1 for all")
    if args.workers < 1:
        parser.error("--workers must be at least 1")
    try:
        source = source_named(args.source)
        prepare(source, VAL_SHARD if args.shards == -1 else args.shards, args.workers, args.packing)
    except KeyboardInterrupt:
        print("\nerror: interrupted; nothing half-written counts\nrun the same command again", file=sys.stderr)
        raise SystemExit(130) from None
    except OSError as error:
        remedy = "make room or give access there, or set AUTORESEARCH_CACHE to another folder"
        fail(f"{error.strerror or error}: {error.filename or CACHE_DIR}", remedy)


# ---------------------------------------------------------------------------
# What train.py imports: the prepared data set
# ---------------------------------------------------------------------------


def read_pointer():
    """The source this device class trains on, or None."""
    try:
        with open(os.path.join(CACHE_DIR, f"source-{DEVICE_CLASS}"), "rb") as file:
            return os.fsdecode(file.read())
    except OSError:
        return None


def run_again(source):
    return f"run: python prepare.py --source {shlex.quote(source)}"


@functools.cache
def data_set():
    """(directory, manifest) of the data this device class trains on. Cheap: nothing is hashed that looks as it did."""
    source = read_pointer()
    if source is None:
        fail(f"no data is prepared for device class {DEVICE_CLASS} in {CACHE_DIR}", "run: python prepare.py")
    directory = directory_of(source)
    manifest = read_manifest(directory)
    if manifest is None:
        fail(f"the data in {directory} is missing or of another version of prepare.py", run_again(source))
    if manifest["rows"]["val"]["rows"] != CLASSES[DEVICE_CLASS][2] // MAX_SEQ_LEN:
        fail(f"{directory} was last prepared for another device class than {DEVICE_CLASS}", run_again(source))
    for record in manifest["rows"].values():
        path = os.path.join(directory, record["name"])
        if check_file(path, record) is None:
            fail(f"{path} is not the file that was prepared", run_again(source))
    return directory, manifest


class Tokenizer:
    """Text to token numbers and back."""

    def __init__(self, enc):
        self.enc = enc
        self.bos_token_id = enc.encode_single_token(BOS_TOKEN)

    @classmethod
    def from_directory(cls, directory=None):
        """The tokenizer of the prepared data set, or of `directory`."""
        import tiktoken

        if directory is None:
            directory, manifest = data_set()
            if tokenizer_sha256(directory) != manifest["tokenizer"]["sha256"]:
                fail(f"the tokenizer in {directory} does not belong to the data there", run_again(manifest["source"]))
        with open(os.path.join(directory, "tokenizer.json"), encoding="utf-8") as file:
            facts = json.load(file)
        with open(os.path.join(directory, "tokenizer.tiktoken"), "rb") as file:
            ranks = {base64.b64decode(token): int(rank) for token, rank in map(bytes.split, file)}
        return cls(tiktoken.Encoding("autoresearch", pat_str=facts["pattern"], mergeable_ranks=ranks,
                                     special_tokens=facts["special_tokens"]))  # fmt: skip

    def get_vocab_size(self):
        return self.enc.n_vocab

    def get_bos_token_id(self):
        return self.bos_token_id

    def get_token_bytes(self):
        """How many bytes each token stands for, counted from its bytes; 0 for special tokens."""
        specials = self.enc.special_tokens_set
        lengths = [len(self.enc.decode_single_token_bytes(i)) for i in range(self.enc.n_vocab)]
        for name in specials:
            lengths[self.enc.encode_single_token(name)] = 0
        return lengths

    def encode(self, text, prepend=None, num_threads=8):
        """Token numbers of a string, or a list of them for a list of strings; `prepend` is a number or a special."""
        if isinstance(text, str):
            return self.encode([text], prepend)[0]
        if isinstance(prepend, str):
            prepend = self.enc.encode_single_token(prepend)
        head = [] if prepend is None else [prepend]
        return [head + ids for ids in self.enc.encode_ordinary_batch(text, num_threads=num_threads)]

    def decode(self, ids):
        return self.enc.decode(ids)


# ---------------------------------------------------------------------------
# Loader
# ---------------------------------------------------------------------------


def open_rows(tokenizer, T, split):
    """The rows of train.bin or val.bin as a read-only array on disk, (rows, MAX_SEQ_LEN // T, T + 1)."""
    import numpy as np

    directory, manifest = data_set()
    record = manifest["rows"][split]
    path = os.path.join(directory, record["name"])
    if not 0 < T <= MAX_SEQ_LEN or MAX_SEQ_LEN % T:
        fail(f"the rows prepared have a context of {MAX_SEQ_LEN} tokens, and cannot be dealt out {T} at a time",
             f"set the context of train.py to MAX_SEQ_LEN, or to a number that divides {MAX_SEQ_LEN}")  # fmt: skip
    if tokenizer.get_vocab_size() != manifest["vocab_size"]:
        fail(f"a tokenizer of {tokenizer.get_vocab_size():,} tokens does not belong to the data in {directory}",
             f"use Tokenizer.from_directory(), or {run_again(manifest['source'])}")  # fmt: skip
    if split == "val" and file_sha256(path) != record["sha256"]:  # it makes the metric, and is small
        fail(f"{path} is damaged", f"delete it, then {run_again(manifest['source'])}")
    tokens = np.memmap(path, "<i2", "r", shape=(record["rows"], MAX_SEQ_LEN + 1))
    # A row gives several shorter ones, each sharing one token with the next: its last target is the next one's first input.
    shape, (row, token) = (len(tokens), MAX_SEQ_LEN // T, T + 1), tokens.strides
    return np.lib.stride_tricks.as_strided(tokens, shape, (row, T * token, token), writeable=False)


def make_dataloader(tokenizer, B, T, split):
    """
    Endless (inputs, targets, epoch): two (B, T) tensors of token numbers on DEVICE, targets one token ahead. Rows come in
    the order of the file, and again from its beginning, none left out or repeated; `epoch` is the last row's pass, from 1.
    """
    import numpy as np
    import torch

    rows = open_rows(tokenizer, T, split)
    total, per_row = rows.shape[0] * rows.shape[1], rows.shape[1]
    cuda = DEVICE == "cuda"
    # The copy to the GPU runs later than the code here. So there are two staging buffers, and none is filled again
    # before the event behind its last copy has passed: otherwise a GPU that lags behind trains on the next batch twice.
    staging = [torch.empty((B, T + 1), dtype=torch.int16, pin_memory=cuda) for _ in range(2)]
    copied = [torch.cuda.Event() if cuda else None for _ in staging]
    for batch, (buffer, event) in enumerate(itertools.cycle(zip(staging, copied, strict=True))):
        number = np.arange(batch * B, (batch + 1) * B) % total
        if event is not None:
            event.synchronize()
        buffer.numpy()[...] = rows[number // per_row, number % per_row]
        tokens = buffer.to(DEVICE, non_blocking=True) if cuda else buffer.to(DEVICE)  # (B, T + 1), 16 bits
        if event is not None:
            event.record()
        # Widened on the device, into new memory: the caller may keep what it was given.
        yield tokens[:, :-1].long(), tokens[:, 1:].long(), ((batch + 1) * B - 1) // total + 1


# ---------------------------------------------------------------------------
# Clock: what a training run may spend
# ---------------------------------------------------------------------------

# On a GPU the budget is TIME_BUDGET seconds. On a CPU, where the same 20 s were measured to hold 153 or 169 steps, the
# budget becomes a number of steps, as many as fit at the pace of the first ones, on a grid of 5 %: faster code still
# earns steps, and a run repeated with the same number of steps is the same to the last bit.
BUDGET_IN_STEPS = DEVICE == "cpu"
PACE_STEPS = 9  # the first steps, whose pace is taken; they run at progress 0
MIN_STEPS = 12
GRID = 1.05  # ratio of neighbouring step counts
TOLERANCE = 0.07  # a pace this close to the incumbent's gets the incumbent's number of steps

steps_asked = os.environ.get("AUTORESEARCH_STEPS", "")
if not re.fullmatch(r"(~?[1-9][0-9]*)?", steps_asked):
    fail(f"AUTORESEARCH_STEPS={steps_asked!r} is not a number of steps", "unset it, or set it as in 160 or ~160")
pace_given = re.fullmatch(r"([1-9][0-9]*)@([0-9.e+-]+)|", os.environ.get("AUTORESEARCH_PACE", ""))
if not pace_given:
    fail("AUTORESEARCH_PACE is not a number of steps and their cost", "unset it, or set it as in 160@12.5")
if TIME_BUDGET <= 0 or not math.isfinite(TIME_BUDGET):
    fail(f"AUTORESEARCH_BUDGET={TIME_BUDGET} is no number of seconds", "unset it, or set it as in 20")


def plan_steps(step_seconds, step_cost, asked="", pace=None):
    """
    How many steps the budget buys. `asked` is AUTORESEARCH_STEPS: '' for as many as fit, '160' for exactly as many,
    '~160' to stay with the incumbent's number if the pace is about the same. `pace` is (steps, cost) of the baseline:
    steps are then earned relative to that, so that a machine that is busier now does not look like a slower idea.
    """
    if asked.isdigit():
        return int(asked)
    affordable = pace[0] * pace[1] / step_cost if pace else TIME_BUDGET / step_seconds
    if asked and abs(affordable / int(asked[1:]) - 1) <= TOLERANCE:
        return int(asked[1:])
    return max(MIN_STEPS, round(GRID ** round(math.log(max(affordable, 1), GRID))))


@functools.cache
def reference_tensors():
    import torch

    return torch.ones(2048, 128), torch.full((128, 512), 0.01), torch.full((512, 128), 0.01)


def reference_seconds():
    """Seconds for a fixed piece of work of the kind a step is made of: what slows this down slows a step down."""
    rows, up, down = reference_tensors()
    start = time.perf_counter()
    for _ in range(2):
        ((rows @ up).relu().square() @ down).tanh().sum().item()
    return time.perf_counter() - start


class TrainingClock:
    """
    Counts every optimiser step and its seconds, from its creation to the last step_done(). Everything between two
    calls belongs to the step: loading, printing, whatever train.py does.
    """

    current = None  # the clock of this process, which evaluate_bpb reports

    def __init__(self):
        if TrainingClock.current is not None:
            fail("a second TrainingClock in one run", "train.py may create one clock, before its training loop")
        TrainingClock.current = self
        self._seconds = []  # of each step
        self._reference = []  # of the fixed piece of work, once after each step whose pace is taken
        self.step_cost = None  # time of a step relative to that work
        self.planned_steps = int(steps_asked) if BUDGET_IN_STEPS and steps_asked.isdigit() else None
        wait_for_device()
        self._last = time.perf_counter()

    def step_done(self):
        """To be called after each optimiser step; returns its seconds."""
        wait_for_device()
        now = time.perf_counter()
        self._seconds.append(now - self._last)
        self._last = now
        if BUDGET_IN_STEPS and self.planned_steps is None:
            self._take_pace()
        return self._seconds[-1]

    def _take_pace(self):
        # The first step warms caches up. Other load on the machine only ever adds time, so the fastest step is the
        # best estimate, of the reference work too.
        self._reference.append(reference_seconds())
        self._last = time.perf_counter()  # the reference is not the step's
        if self.num_steps == PACE_STEPS:
            fastest = min(self._seconds[1:])
            self.step_cost = fastest / min(self._reference[1:])
            pace = (int(pace_given[1]), float(pace_given[2])) if pace_given[1] else None
            self.planned_steps = plan_steps(fastest, self.step_cost, steps_asked, pace)

    @property
    def num_steps(self):
        return len(self._seconds)

    @property
    def training_seconds(self):
        return sum(self._seconds)

    @property
    def step_seconds(self):
        """The median, without the first step where there are more."""
        return statistics.median(self._seconds[1:] or self._seconds or [0.0])

    @property
    def progress(self):
        """How much of the budget is spent, from 0 to 1: what schedules are made of."""
        if not BUDGET_IN_STEPS:
            return min(self.training_seconds / TIME_BUDGET, 1.0)
        if self.planned_steps is None or self.num_steps < min(PACE_STEPS, self.planned_steps):
            return 0.0
        return min(self.num_steps / self.planned_steps, 1.0)

    @property
    def done(self):
        if not BUDGET_IN_STEPS:
            return self.training_seconds >= TIME_BUDGET
        return self.planned_steps is not None and self.num_steps >= self.planned_steps

    @property
    def remaining_seconds(self):
        if BUDGET_IN_STEPS and self.planned_steps is not None:
            return max(0, self.planned_steps - self.num_steps) * self.step_seconds
        return max(0.0, TIME_BUDGET - self.training_seconds)


# ---------------------------------------------------------------------------
# Evaluation: the metric
# ---------------------------------------------------------------------------


def evaluate_bpb(model, tokenizer, batch_size):
    """
    Bits per byte of the validation text, lower is better, independent of the vocabulary:

        bpb = sum of -ln p(target) / (ln 2 * sum of bytes of target)

    over the first EVAL_TOKENS targets of the validation rows, special tokens left out of both sums. It is the BPB of
    The Pile (Gao et al. 2020, arXiv:2101.00027, section 3.1) as nanochat and karpathy/autoresearch compute it.
    `model(x, y, reduction="none")` gives the nats of each target. The rows are the same whatever batch_size is.

    The result also goes to the file named by AUTORESEARCH_RESULT, as one line of JSON with the clock's figures.
    """
    import torch

    token_bytes = torch.tensor(tokenizer.get_token_bytes(), device=DEVICE)
    loader = make_dataloader(tokenizer, batch_size, MAX_SEQ_LEN, "val")
    num_rows = EVAL_TOKENS // MAX_SEQ_LEN
    nats, num_bytes = [], []  # per row, left on the device until the end
    with torch.no_grad():
        for start in range(0, num_rows, batch_size):
            x, y, _ = next(loader)  # (B, T), (B, T)
            # The last batch is computed whole, so that a compiled model sees one shape, and its surplus rows dropped.
            rows = min(batch_size, num_rows - start)
            loss = model(x, y, reduction="none").view(y.shape)[:rows].float()  # (rows, T)
            target_bytes = token_bytes[y[:rows]]  # (rows, T)
            nats.append(torch.where(target_bytes > 0, loss, 0.0).sum(dim=1))  # (rows,)
            num_bytes.append(target_bytes.sum(dim=1))  # (rows,)
    total_nats = torch.cat(nats).cpu().double().sum().item()
    total_bytes = torch.cat(num_bytes).cpu().sum().item()
    val_bpb = total_nats / (math.log(2) * total_bytes)
    if not math.isfinite(val_bpb):
        fail(f"val_bpb is {val_bpb}: the losses are not finite", "lower a learning rate, or revert the last edit")
    report_result(val_bpb)
    return val_bpb


def report_result(val_bpb):
    """Append one line to the file that the tool running train.py reads: one write, so lines never mix."""
    path = os.environ.get("AUTORESEARCH_RESULT")
    if not path:
        return
    clock = TrainingClock.current
    result = {
        "val_bpb": val_bpb,
        "eval_tokens": EVAL_TOKENS,
        "training_seconds": clock.training_seconds if clock else None,
        "num_steps": clock.num_steps if clock else None,
        "step_seconds": clock.step_seconds if clock else None,
        "budget_seconds": TIME_BUDGET,
        "seed": SEED,
        "device_class": DEVICE_CLASS,
        "data": fingerprint(data_set()[1]),
    }
    if clock and BUDGET_IN_STEPS:
        result["planned_steps"] = clock.planned_steps
        if clock.step_cost:
            result["step_cost"] = clock.step_cost
    try:
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(file, json.dumps(result).encode() + b"\n")
        finally:
            os.close(file)
    except OSError as error:
        fail(f"cannot write {path}: {error.strerror}", "set AUTORESEARCH_RESULT to a file in a folder that exists")


if __name__ == "__main__":
    main()
