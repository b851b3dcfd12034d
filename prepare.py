"""
The fixed half of autoresearch: data, tokenizer, loader, clock and the metric. No experiment edits this file.

    python prepare.py                      # the data set this device trains on by default
    python prepare.py --source builtin     # the sources of this Python installation: needs no network
    python prepare.py --source climbmix --shards 10 --workers 8

train.py imports the second half (Tokenizer, make_dataloader, TrainingClock, evaluate_bpb).

    ~/.cache/autoresearch/                 AUTORESEARCH_CACHE puts it elsewhere
        data/shard_*.parquet               climbmix, where karpathy/autoresearch keeps it too
        builtin-v2048-t256/                one directory per source, vocabulary and context length:
            manifest.json                  what lies here, with sizes and hashes
            tokenizer.tiktoken .json       the tokens in base64 with their ranks; split pattern and special tokens
            shard_*.parquet                the built-in corpus itself
        current-cpu                        the data set that each device class trains on
"""

import argparse
import ast
import base64
import bisect
import contextlib
import errno
import functools
import glob
import hashlib
import http.client
import importlib.util
import itertools
import json
import math
import os
import queue
import re
import statistics
import sys
import sysconfig
import threading
import time
import urllib.error
import urllib.request
from collections import deque


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


needed = ("numpy", "pyarrow", "rustbpe", "tiktoken", "torch")  # looked for, not imported: that would take seconds
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
    "24gb": (   2048,       8192,        8 * 524288,               6, "climbmix"),  # below 40 GiB
    "h100": (   2048,       8192,       40 * 524288,              10, "climbmix"),  # everything larger
}  # fmt: skip


# Before torch is imported: OpenMP's threads wait for each other by spinning, and where another process wants a core a
# step then took 3 to 30 times as long (measured; twice as long with this). On a quiet machine it costs next to nothing.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")


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
        return "16gb" if memory < 20 else "24gb" if memory < 40 else "h100"
    return "mps" if torch.backends.mps.is_available() else "cpu"


DEVICE_CLASS = find_device_class()
DEVICE = DEVICE_CLASS if DEVICE_CLASS in ("cpu", "mps") else "cuda"
MAX_SEQ_LEN, VOCAB_SIZE, EVAL_TOKENS, DEFAULT_SHARDS, DEFAULT_SOURCE = CLASSES[DEVICE_CLASS]

TIME_BUDGET = setting("AUTORESEARCH_BUDGET", 300.0, float)  # seconds of training
SEED = setting("AUTORESEARCH_SEED", 42, int)

CACHE_DIR = os.path.expanduser(os.environ.get("AUTORESEARCH_CACHE") or "~/.cache/autoresearch")
DATA_DIR = os.path.join(CACHE_DIR, "data")  # climbmix shards
BASE_URL = os.environ.get(
    "AUTORESEARCH_CLIMBMIX_URL", "https://huggingface.co/datasets/karpathy/climbmix-400b-shuffle/resolve/main"
).rstrip("/")
VAL_SHARD = 6542  # the last shard of climbmix, never trained on
VAL_NAME = f"shard_{VAL_SHARD:05d}.parquet"
FORMAT = 1  # of the manifest; another number means "prepare again"
PACKING = "best fit, 1000 documents, batches of 128"

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


def write_whole(path, data):
    """Write `data` so that a kill or a power cut leaves the old file or the new one, never a part."""
    with open(path + ".part", "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".part", path)


def file_sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()


def shard_record(path, sha256=None):
    """What the manifest remembers of one shard."""
    name, stat = os.path.basename(path), os.stat(path)
    return {"name": name, "size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "sha256": sha256 or file_sha256(path)}


def check_shard(path, record):
    """The record of the shard at `path` if it is what `record` says (or reads well, without one), else None."""
    if not os.path.exists(path):
        return None
    if record is None:  # somebody else's download, or ours before the manifest was written
        return shard_record(path) if reads_as_parquet(path) else None
    stat = os.stat(path)
    if stat.st_size == record["size"] and stat.st_mtime_ns == record["mtime_ns"]:
        return record
    found = shard_record(path)
    return record | found if found["sha256"] == record["sha256"] else None


def reads_as_parquet(path):
    """Whether the beginning is there, and the footer, which is written last and names a column of text."""
    import pyarrow.parquet as pq

    try:
        with open(path, "rb") as file:
            return file.read(4) == b"PAR1" and "text" in pq.read_schema(path).names
    except (OSError, ValueError):  # pyarrow's own errors derive from these
        return False


def read_texts(path):
    """The documents of one shard, a list for each row group."""
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        for i in range(file.num_row_groups):
            yield file.read_row_group(i, columns=["text"])["text"].to_pylist()
    except (OSError, ValueError) as error:
        fail(f"{path} is damaged: {str(error).splitlines()[0]}", "delete it, then run python prepare.py again")


def read_manifest(directory):
    """The manifest of one prepared data set, or None where there is none that this file wrote."""
    try:
        with open(os.path.join(directory, "manifest.json"), encoding="utf-8") as file:
            manifest = json.load(file)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    same = {"format": FORMAT, "packing": PACKING, "vocab_size": VOCAB_SIZE, "max_seq_len": MAX_SEQ_LEN}
    return manifest if isinstance(manifest, dict) and all(manifest.get(k) == v for k, v in same.items()) else None


def content_of(record):
    """A hash of a shard's content: of the text where we wrote the file, so that two parquet writers agree."""
    return record.get("text_sha256") or record["sha256"]


def fingerprint(manifest):
    """One hash for everything about the data that moves the metric."""
    facts = {key: manifest[key] for key in ("format", "source", "packing", "vocab_size", "max_seq_len")}
    facts["eval_tokens"] = EVAL_TOKENS
    facts["tokenizer"] = manifest["tokenizer"]["sha256"]
    facts["shards"] = [[shard["name"], content_of(shard)] for shard in manifest["shards"]]
    return "sha256:" + hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


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


# ---------------------------------------------------------------------------
# Source 1: climbmix, 400 B tokens of the web, downloaded shard by shard
# ---------------------------------------------------------------------------

ATTEMPTS = 4  # per shard
BACKOFF = 1.0  # seconds before the second attempt, doubled before each further one
TIMEOUT = 30  # seconds without a byte
NO_RETRY = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS)


class Hopeless(Exception):
    """A download that no further attempt will mend."""


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


def download_shard(name, report):
    """
    Fetch one shard into DATA_DIR and return its record. A broken connection is resumed where the server allows it;
    the file gets its name only when length, checksum and footer are right.
    """
    path = os.path.join(DATA_DIR, name)
    have, digest, version = 0, hashlib.sha256(), None  # bytes on disk, their hash, the ETag they belong to
    for attempt in range(ATTEMPTS):
        if attempt > 0:
            time.sleep(BACKOFF * 2 ** (attempt - 1))
        request = urllib.request.Request(f"{BASE_URL}/{name}", headers={"User-Agent": "git-autoresearch"})  # noqa: S310
        if have:
            request.add_header("Range", f"bytes={have}-")
        redirects = LinkedEtag()
        try:
            with urllib.request.build_opener(redirects).open(request, timeout=TIMEOUT) as response:
                partial = have > 0 and response.status == 206
                if partial and response.headers.get("ETag") != version:
                    problem = "the file changed on the server"
                    report(-have)
                    have = 0
                    continue
                if not partial:
                    report(-have)
                    have, digest = 0, hashlib.sha256()
                version = response.headers.get("ETag")
                promised = redirects.promised_sha256(response)
                length = response.headers.get("Content-Length")
                length = None if length is None else have + int(length)
                with open(path + ".part", "ab" if partial else "wb") as file:
                    while chunk := response.read(2**20):
                        file.write(chunk)
                        digest.update(chunk)
                        have += len(chunk)
                        report(len(chunk))
                    file.flush()
                    os.fsync(file.fileno())
            if length is not None and have != length:
                problem = f"the connection closed after {have:,} of {length:,} bytes"
                continue  # and resume
            if promised is not None and digest.hexdigest() != promised:
                problem = f"checksum {digest.hexdigest()[:12]}... arrived, {promised[:12]}... was promised"
            elif not reads_as_parquet(path + ".part"):
                problem = "what arrived is no parquet file with a column `text`"
            else:
                os.replace(path + ".part", path)
                return shard_record(path, digest.hexdigest())
            report(-have)
            have = 0  # wrong bytes: start over
        except urllib.error.HTTPError as error:
            problem = f"the server answered {error.code} {error.reason}"
            if error.code == 416:  # nothing left to resume
                report(-have)
                have = 0
            elif 400 <= error.code < 500 and error.code not in (408, 429):
                break
        except (OSError, http.client.HTTPException) as error:
            if getattr(error, "errno", None) in NO_RETRY:
                raise
            problem = str(getattr(error, "reason", error)) or type(error).__name__
    raise Hopeless(problem)


def download(names, workers):
    """Fetch shards side by side; returns {name: record}. The first hopeless one ends it all."""
    todo, events = queue.Queue(), queue.Queue()
    for name in names:
        todo.put(name)

    def work():
        with contextlib.suppress(queue.Empty):
            while True:
                name = todo.get_nowait()
                try:
                    events.put((name, download_shard(name, lambda n: events.put((None, n)))))
                except Exception as error:
                    events.put((name, error))

    for _ in range(min(workers, len(names))):
        threading.Thread(target=work, daemon=True).start()  # daemon: ^C does not wait for a slow server
    records, received, start = {}, 0, time.time()
    while len(records) < len(names):
        name, event = events.get()
        if isinstance(event, Hopeless):
            remedy = "try again later, or train on what needs no network: python prepare.py --source builtin"
            fail(f"could not download {BASE_URL}/{name}: {event}", remedy)
        if isinstance(event, Exception):
            raise event
        if name is None:
            received += event
        else:
            records[name] = event
        if name is not None or sys.stdout.isatty():  # in a log, one line a shard
            megabytes, seconds = received / 1e6, time.time() - start + 1e-9
            line = f"climbmix:  {len(records)}/{len(names)} shards | {megabytes:,.0f} MB | {megabytes / seconds:.1f} MB/s"
            print(line, end="    \r" if sys.stdout.isatty() and len(records) < len(names) else "\n", flush=True)
    return records


def prepare_climbmix(num_shards, workers, old):
    """Shards 0 to num_shards-1 and the validation shard, as records in training order with validation last."""
    os.makedirs(DATA_DIR, exist_ok=True)
    for leftover in glob.glob(os.path.join(DATA_DIR, "*.part")):
        os.remove(leftover)
    names = [f"shard_{i:05d}.parquet" for i in range(num_shards)] + [VAL_NAME]
    records = {name: check_shard(os.path.join(DATA_DIR, name), old.get(name)) for name in names}
    wanted = [name for name in names if records[name] is None]
    if wanted:
        print(f"climbmix:  {len(wanted)} of {len(names)} shards to fetch from {BASE_URL}", flush=True)
        records |= download(wanted, workers)
    return [records[name] for name in names]


# ---------------------------------------------------------------------------
# Source 2: the built-in corpus, the sources and documentation in every Python installation
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
    while len(text) > limit:
        at = text.rfind("\n\n", limit // 2, limit - 1) + 2
        if at < 2:
            at = text.rfind("\n", 0, limit) + 1 or limit
        yield text[:at]
        text = text[at:]
    yield text


def hashed(text):
    return hashlib.sha256(text.encode()).digest()


def prepare_builtin(directory, old):
    """One training and one validation shard, as records with validation last."""
    names = ["shard_00000.parquet", VAL_NAME]
    records = [check_shard(os.path.join(directory, name), old[name]) if name in old else None for name in names]
    if all(records):
        return records
    import pyarrow as pa
    import pyarrow.parquet as pq

    train, val = [], []  # (hash, document): sorted by hash they lie shuffled, in the same way every time
    for path, text in library_files():
        half = val if int.from_bytes(hashed(path), "big") % 20 == 0 else train  # a file is in one half only
        half += [(hashed(f"{path}:{i}"), piece) for i, piece in enumerate(cut(text, DOC_CHARS))]
    if not train or not val:
        fail(
            f"the Python at {sys.prefix} carries no sources of its standard library",
            "use another Python, or the downloaded corpus: python prepare.py --source climbmix",
        )
    os.makedirs(directory, exist_ok=True)
    for i, (name, half) in enumerate(zip(names, (train, val), strict=True)):
        path, documents = os.path.join(directory, name), [document for _, document in sorted(half)]
        table = pa.table({"text": documents})
        pq.write_table(table, path + ".part", row_group_size=1024, compression="zstd")
        os.replace(path + ".part", path)
        text_sha256 = hashlib.sha256(b"".join(map(hashed, documents))).hexdigest()
        records[i] = shard_record(path) | {"documents": len(documents), "text_sha256": text_sha256}
    return records


# ---------------------------------------------------------------------------
# Tokenizer: byte pair encoding, learned from the training shards
# ---------------------------------------------------------------------------


def shard_path(source, directory, record):
    return os.path.join(DATA_DIR if source == "climbmix" else directory, record["name"])


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
    import rustbpe

    chars = shards_read = 0

    def documents():
        nonlocal chars, shards_read
        for record in shards[:-1]:
            shards_read += 1
            for text in itertools.chain.from_iterable(read_texts(shard_path(source, directory, record))):
                chars += min(len(text), doc_cap)
                yield text[:doc_cap]
                if chars >= max_chars:
                    return

    start = time.time()
    print(f"tokenizer: learning {VOCAB_SIZE:,} tokens ...", flush=True)
    bpe = rustbpe.Tokenizer()
    bpe.train_from_iterator(documents(), VOCAB_SIZE - len(SPECIAL_TOKENS), pattern=SPLIT_PATTERN)
    ranks = sorted((rank, bytes(token)) for token, rank in bpe.get_mergeable_ranks())
    if len(ranks) != VOCAB_SIZE - len(SPECIAL_TOKENS):
        fail(f"the text is too short to learn {VOCAB_SIZE:,} tokens from it", "prepare more shards: --shards 2")
    lines = b"".join(base64.b64encode(token) + b" %d\n" % rank for rank, token in ranks)
    specials = {name: len(ranks) + i for i, name in enumerate(SPECIAL_TOKENS)}
    write_whole(os.path.join(directory, "tokenizer.tiktoken"), lines)
    write_whole(
        os.path.join(directory, "tokenizer.json"),
        json.dumps({"pattern": bpe.get_pattern(), "special_tokens": specials}, indent=1).encode(),
    )
    print(f"tokenizer: learned from {chars / 1e6:,.1f} M characters in {time.time() - start:.1f} s")
    return {
        "sha256": tokenizer_sha256(directory),
        "trained_on": content[:shards_read],
        "reached_limit": chars >= max_chars,
    }


# ---------------------------------------------------------------------------
# python prepare.py
# ---------------------------------------------------------------------------


def prepare(source, num_shards, workers):
    name = f"{source}-v{VOCAB_SIZE}-t{MAX_SEQ_LEN}"
    directory = os.path.join(CACHE_DIR, name)
    with only_one_at_work():
        os.makedirs(directory, exist_ok=True)
        old = read_manifest(directory) or {"shards": [], "tokenizer": None}
        known = {record["name"]: record for record in old["shards"]}
        if source == "climbmix":
            num_shards = num_shards or len(known) - 1
            num_shards = DEFAULT_SHARDS if num_shards < 1 else min(num_shards, VAL_SHARD)
            shards = prepare_climbmix(num_shards, workers, known)
            origin = BASE_URL
        else:
            shards = prepare_builtin(directory, known)
            kept = list(map(content_of, shards)) == list(map(content_of, old["shards"]))
            origin = old["origin"] if kept else f"Python {sys.version.split()[0]}"
        manifest = {
            "format": FORMAT,
            "source": source,
            "origin": origin,
            "vocab_size": VOCAB_SIZE,
            "max_seq_len": MAX_SEQ_LEN,
            "packing": PACKING,
            "tokenizer": prepare_tokenizer(source, directory, shards, old["tokenizer"]),
            "shards": shards,
        }
        if manifest != old:
            write_whole(os.path.join(directory, "manifest.json"), json.dumps(manifest, indent=1).encode())
        pointer = os.path.join(CACHE_DIR, f"current-{DEVICE_CLASS}")
        if read_pointer() != name:
            write_whole(pointer, name.encode() + b"\n")
    size = sum(record["size"] for record in shards)
    print(f"source:    {source} ({manifest['origin']}), {len(shards) - 1} + 1 shards, {size / 1e6:,.1f} MB")
    print(f"device:    {DEVICE_CLASS}: context {MAX_SEQ_LEN}, {VOCAB_SIZE:,} tokens, {EVAL_TOKENS:,} for validation")
    print(f"data:      {fingerprint(manifest)}")
    print(f"ready in {directory}; now run: python train.py")


def main():
    parser = argparse.ArgumentParser(description="Prepare data and tokenizer for train.py. Safe to run again.")
    option = parser.add_argument
    option("--source", choices=("builtin", "climbmix"), default=DEFAULT_SOURCE, help="builtin: the sources and "
           "documentation of this Python installation, offline; climbmix: web text, downloaded "
           f"(default for device class {DEVICE_CLASS}: {DEFAULT_SOURCE})")  # fmt: skip
    option("--shards", "--num-shards", type=int, metavar="N",
           help=f"climbmix: training shards of 250 M characters, -1 for all (default: {DEFAULT_SHARDS})")  # fmt: skip
    option("--workers", type=int, default=8, metavar="N", help="climbmix: downloads at once (default: 8)")
    args = parser.parse_args()
    if args.shards is not None and args.shards != -1 and args.shards < 1:
        parser.error("--shards must be at least 1, or -1 for all")
    if args.workers < 1:
        parser.error("--workers must be at least 1")
    try:
        prepare(args.source, VAL_SHARD if args.shards == -1 else args.shards, args.workers)
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
    """The name of the data set this device class trains on, or None."""
    try:
        with open(os.path.join(CACHE_DIR, f"current-{DEVICE_CLASS}"), encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return None


@functools.cache
def data_set():
    """(directory, manifest) of the data this device class trains on. Cheap: sizes are compared, nothing is hashed."""
    name = read_pointer()
    if name is None:
        fail(f"no data is prepared for device class {DEVICE_CLASS} in {CACHE_DIR}", "run: python prepare.py")
    again = f"run: python prepare.py --source {name.split('-')[0]}"
    directory = os.path.join(CACHE_DIR, name)
    manifest = read_manifest(directory)
    if manifest is None:
        fail(f"the data in {directory} is missing or of another version of prepare.py", again)
    for record in manifest["shards"]:
        path = shard_path(manifest["source"], directory, record)
        if not os.path.exists(path) or os.path.getsize(path) != record["size"]:
            fail(f"{path} is not the file that was prepared", again)
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
                again = f"run: python prepare.py --source {manifest['source']}"
                fail(f"the tokenizer in {directory} does not belong to the data there", again)
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


def document_batches(tokenizer, split, batch_size=128):
    """(up to 128 tokenized documents, epoch) without end, in the order of the shards; each begins with BOS."""
    directory, manifest = data_set()
    shards = manifest["shards"][-1:] if split == "val" else manifest["shards"][:-1]
    bos = tokenizer.get_bos_token_id()
    epoch = 1
    while True:
        for record in shards:
            for texts in read_texts(shard_path(manifest["source"], directory, record)):
                for start in range(0, len(texts), batch_size):
                    yield tokenizer.encode(texts[start : start + batch_size], prepend=bos), epoch
        epoch += 1


def pack_rows(batches, capacity, buffer_size=1000):
    """
    Rows of exactly `capacity` tokens, each beginning with a document: karpathy/autoresearch's best-fit rule. Of at
    least 1000 buffered documents the longest that still fits comes next, of equally long ones the oldest; where none
    fits, the shortest is cut to the room that is left, and its rest dropped. Nothing is padded.

    One queue per length and a sorted list of the lengths give the same rows as a scan of the buffer, without the scan.
    """
    waiting = {}  # length: documents of that length, the oldest first
    lengths = []  # its keys, ascending
    buffered = 0
    while True:
        row = []
        while len(row) < capacity:
            while buffered < buffer_size:
                documents, epoch = next(batches)
                for document in documents:
                    if len(document) not in waiting:
                        waiting[len(document)] = deque()
                        bisect.insort(lengths, len(document))
                    waiting[len(document)].append(document)
                buffered += len(documents)
            room = capacity - len(row)
            longest = max(bisect.bisect_right(lengths, room) - 1, 0)  # 0, the shortest, where none fits
            same_length = waiting[lengths[longest]]
            row += same_length.popleft()[:room]
            buffered -= 1
            if not same_length:
                del waiting[lengths.pop(longest)]
        yield row, epoch


def make_dataloader(tokenizer, B, T, split):
    """Endless (inputs, targets, epoch): two (B, T) tensors of token numbers on DEVICE, targets one token ahead."""
    import torch

    rows = pack_rows(document_batches(tokenizer, split), T + 1)
    cuda = DEVICE == "cuda"
    # The copy to the GPU runs later than the code here. So there are two staging buffers, and none is filled again
    # before the event behind its last copy has passed: otherwise a GPU that lags behind trains on the next batch twice.
    staging = [torch.empty((B, T + 1), dtype=torch.long, pin_memory=cuda) for _ in range(2)]
    copied = [torch.cuda.Event() if cuda else None for _ in staging]
    while True:
        for buffer, event in zip(staging, copied, strict=True):
            if event is not None:
                event.synchronize()
            for b in range(B):
                row, epoch = next(rows)
                buffer[b] = torch.tensor(row)
            batch = buffer.to(DEVICE, non_blocking=True) if cuda else buffer.to(DEVICE, copy=True)
            if event is not None:
                event.record()
            yield batch[:, :-1].contiguous(), batch[:, 1:].contiguous(), epoch


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


def wait_for_device():
    if DEVICE != "cpu":
        import torch

        getattr(torch, DEVICE).synchronize()  # torch.cuda, torch.mps


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
