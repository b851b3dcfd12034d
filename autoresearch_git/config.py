"""Settings, each with where it came from.

An option on the command line wins over `AUTORESEARCH_*`, that over `git config autoresearch.*`, that over
`.autoresearch.toml` or `[tool.autoresearch]` in pyproject.toml, that over the default. A key that nobody knows is an
error: a typing mistake in a budget must not cost a night.

The two files come with a clone, so they are a stranger's text: they may not say where a token goes, and a hub that they
name is marked (`Setting.tracked`).
"""

from __future__ import annotations

import difflib
import functools
import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from autoresearch_git.errors import AutoresearchError
from autoresearch_git.repository import Repository

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# Variables of the contract between the lab and a run, or a researcher and its agent; they are no settings.
_CONTRACT_VARIABLES = {"RESULT", "STEPS", "PACE", "CACHE", "DEVICE", "CLIMBMIX_URL", "SESSION", "PROMPT", "EXPERIMENT"}


# What a measurement is recorded with besides the metric.
RESERVED_FIGURES = {"seed", "channel", "crash", "data", "wall_seconds", "peak_rss_mb", "sandbox"}


def seconds(text: str) -> float:
    """Seconds from `300`, `90s`, `5m` or `1.5h`."""
    match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*(s|m|h|)", text.strip())
    if not match or float(match[1]) <= 0:
        raise ValueError("a positive time such as 300, 90s, 5m or 1.5h")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def _count(least: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"\d+", text.strip()) or int(text) < least:
            raise ValueError(f"a whole number, {least} or more")
        return int(text)

    return parse


def _choice(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.strip() not in words:
            raise ValueError("one of " + ", ".join(words))
        return text.strip()

    return parse


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][\w.%/-]*", text.strip()) or text.strip() in RESERVED_FIGURES:
        raise ValueError("a name such as val_bpb")
    return text.strip()


def _branch_part(text: str) -> str:
    word = text.strip()
    if not re.fullmatch(r"[\w.+-]+(/[\w.+-]+)*", word, re.ASCII) or ".." in word or word.endswith((".", ".lock")):
        raise ValueError("letters, digits and . _ + - that may stand in a branch name")
    return word


def _paths(text: str) -> tuple[str, ...]:
    paths = tuple(PurePosixPath(word).as_posix() for word in re.split(r"\n" if "\n" in text else r"[,\s]+", text) if word)
    if not paths or any(p.startswith(("/", "-")) or ".." in Path(p).parts for p in paths):
        raise ValueError("paths inside the repository, separated by spaces or commas")
    return paths


def _hours(text: str) -> float:
    if not re.fullmatch(r"\d+(\.\d*)?|\.\d+", text.strip()):
        raise ValueError("a number of hours such as 8 or 0.5")
    return float(text)


def _dollars(text: str) -> float:
    if not re.fullmatch(r"\d+(\.\d*)?|\.\d+", text.strip()):
        raise ValueError("a number of US dollars such as 10 or 0.5")
    return float(text)


def _price(text: str) -> tuple[float, float] | None:
    words = text.strip().split("/")
    if words == [""]:
        return None
    if len(words) != 2:
        raise ValueError("two prices such as 3/15")
    asked, answered = (_dollars(word) for word in words)
    if not asked or not answered:
        raise ValueError("two prices such as 3/15")
    return asked, answered


def _model(text: str) -> str:
    word = text.strip()
    if not re.fullmatch(r"[A-Za-z0-9][\w.:/@-]{0,99}", word, re.ASCII):
        raise ValueError("the name of a model such as claude-opus-5-5")
    return word


def _or_zero(parse: Callable[[str], float]) -> Callable[[str], float]:
    return lambda text: 0.0 if text.strip() == "0" else parse(text)


def _or_nothing(parse: Callable[[str], str]) -> Callable[[str], str]:
    return lambda text: parse(text) if text.strip() else ""


def _text(text: str) -> str:
    return text.strip()


def _yes_no(text: str) -> bool:
    word = text.strip().lower()
    if word not in ("yes", "true", "on", "1", "no", "false", "off", "0"):
        raise ValueError("yes or no")
    return word in ("yes", "true", "on", "1")


def _hubs(text: str) -> tuple[str, ...]:
    words = (word.strip(" \t") for word in re.split(r"\n" if "\n" in text else r"[,\s]+", text))
    return tuple(word for word in words if word)


def _folders(text: str) -> tuple[str, ...]:
    """Paths, one a line: they may have spaces."""
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def _variables(text: str) -> tuple[str, ...]:
    names = tuple(word for word in re.split(r"[,\s]+", text) if word)
    if not all(re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) for name in names):
        raise ValueError("names of environment variables such as ANTHROPIC_API_KEY")
    return names


def _api_root(text: str) -> str:
    root = text.strip().rstrip("/")
    if root and not re.fullmatch(r"https?://(\w[\w.-]*|\[[0-9a-fA-F:.]+\])(:\d{1,5})?(/[\w.~-]+)*", root, re.ASCII):
        raise ValueError("the root of a GitHub API such as https://github.example.com/api/v3")
    return root


def _slug(text: str) -> str:
    word = text.strip().lower()
    if word and not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", word):
        raise ValueError("the slug of a category such as show-and-tell")
    return word


def _command(text: str) -> str:
    if not text.strip() or "\n" in text:
        raise ValueError("a command on one line")
    return text.strip()


def _word(text: str) -> str:
    if text.strip() and not re.fullmatch(r"[\w.+:/@-]{1,60}", text.strip(), re.ASCII):
        raise ValueError("one word such as claude-opus")
    return text.strip()


@dataclass(frozen=True)
class Key:
    name: str
    default: str
    parse: Callable[[str], Any]
    help: str

    @property
    def field(self) -> str:
        return self.name.replace("-", "_")


KEYS = (
    Key("metric", "val_bpb", _name, "name under which a run reports the number being researched"),
    Key("direction", "min", _choice("min", "max"), "which way is better"),
    Key("run", "", _command, "command of one experiment; {python} is the interpreter of this tool"),
    Key("prepare", "", _text, "command that is run once before the baseline; its output lies outside the worktree"),
    Key("budget", "300", seconds, "training time of one run, told to it in AUTORESEARCH_BUDGET"),
    Key("timeout", "0", _or_zero(seconds), "time after which a run is killed; 0: 2 × budget, 600 s at least"),
    Key("editable", "train.py", _paths, "the only files that an experiment may change"),
    Key("researcher", "sweep", _text, "who proposes"),
    Key("command", "", lambda text: _command(text) if text.strip() else "", "command of the agent that proposes where "
        "researcher is command; {prompt} is the file of its prompt, {folder} the folder that it works in"),
    Key("command-env", "", _variables, "environment variables that the agent gets besides PATH, HOME and the locale; or --add"),
    Key("command-timeout", "10m", seconds, "time after which the agent is killed"),
    Key("command-name", "", _word, "name of the agent in what is recorded; empty: the program's"),
    Key("experiments", "0", _count(0), "experiments after which a start ends; 0: no limit"),
    Key("hours", "0", _or_zero(_hours), "hours after which a start ends; 0: no limit"),
    Key("max-cost", "0", _or_zero(_dollars), "US dollars that a start may spend on a model; 0: no limit"),
    Key("price", "", _price, "IN/OUT, what a model of unknown price costs, in US dollars for a million tokens"),
    Key("model", "claude-opus-5-5", _model, "model that the researcher claude asks"),
    Key("fallback-model", "claude-opus-4-8", _or_nothing(_model), "model that is asked what the other refuses; empty: none"),
    Key("effort", "", _or_nothing(_choice("low", "medium", "high", "xhigh", "max")), "effort of a model; empty: the model's own"),
    Key("stream", "yes", _yes_no, "whether a model's answers come in pieces; no: for a gateway that cannot"),
    Key("baseline-runs", "2", _count(1), "runs of the baseline, which also measure the noise"),
    Key("judge", "confirmed", _choice("confirmed", "strict"), "confirmed: gains within the noise are measured again"),
    Key("seed", "42", _count(0), "seed of the first run, told to it in AUTORESEARCH_SEED"),
    Key("platform", "", _or_nothing(_branch_part), "hardware class in the branch name; empty: detected"),
    Key("branch-prefix", "exp", _branch_part, "branches are <prefix>/<platform>/<tag>"),
    Key("hub", "", _hubs, "repositories whose findings are read: owner/name, host/owner/name, a git URL or a path; "
        "empty: origin, and what it is a fork of"),
    Key("api-url", "", _api_root, "root of the GitHub API where owner/name lives; empty: github.com. Also GITHUB_API_URL"),
    Key("category", "", _slug, "slug of the category that papers are posted in; empty: show-and-tell, else general"),
    Key("templates", "", _text, "folder with your own paper.md.j2, pull_request.md.j2 or prompt.md.j2"),
    Key("api-timeout", "30", seconds, "time that GitHub's API may take for one answer"),
    Key("sandbox", "auto", _choice("auto", "require", "off"), "auto: runs are confined where it works; require: or not run; "
        "off: only strangers' code is"),
    Key("sandbox-read", "", _folders, "further paths that a confined run may read, such as data sets; one a line, or --add"),
    Key("inspiration", "yes", _yes_no, "whether the research loop reads findings first"),
)  # fmt: skip
_BY_NAME = {key.name: key for key in KEYS}
DEFAULT_RUN = "{python} train.py"
_URLS = {"hub", "api-url"}
_PAID = ("researcher", "max-cost", "price", "model", "fallback-model", "effort", "stream")
_USERS_OWN = {**dict.fromkeys(_PAID, "what is spent in your name"), "api-url": "where tokens go",
               "templates": "what is posted in your name",
               "command": "what runs on this machine", "command-env": "which of your variables an agent gets",
               "command-timeout": "what runs on this machine", "command-name": "who proposed",
               "sandbox": "what runs may do on this machine", "sandbox-read": "what runs may read on this machine"}  # fmt: skip
_ONE_A_LINE = (_hubs, _folders, _variables)


@dataclass(frozen=True)
class Setting:
    """`tracked`: a file of the repository says so, which a stranger may have written."""

    key: Key
    text: str
    source: str
    tracked: bool = False


@dataclass(frozen=True)
class Settings:
    metric: str
    direction: str
    run: str
    prepare: str
    budget: float
    timeout: float
    editable: tuple[str, ...]
    researcher: str
    command: str
    command_env: tuple[str, ...]
    command_timeout: float
    command_name: str
    experiments: int
    hours: float
    max_cost: float
    price: tuple[float, float] | None
    model: str
    fallback_model: str
    effort: str
    stream: bool
    baseline_runs: int
    judge: str
    seed: int
    platform: str
    branch_prefix: str
    hub: tuple[str, ...]
    api_url: str
    category: str
    templates: str
    api_timeout: float
    sandbox: str
    sandbox_read: tuple[str, ...]
    inspiration: bool
    origin: Mapping[str, Setting]


def _unknown(name: str, where: str) -> AutoresearchError:
    near = difflib.get_close_matches(name, list(_BY_NAME), n=1)
    hint = f"did you mean {near[0]}?" if near else "git autoresearch config lists the settings"
    return AutoresearchError(f"there is no setting {name!r} ({where})", hint)


def default(name: str) -> Any:
    """What a setting is where nothing says otherwise."""
    key = _BY_NAME[name]
    return key.parse(key.default)


def default_timeout(budget: float) -> float:
    return max(600.0, 2 * budget)


def templates_folder(repository: Repository, settings: Settings) -> Path | None:
    """The user's own templates. Raises AutoresearchError where the setting names no folder."""
    if not settings.templates:
        return None
    folder = (repository.root / Path(settings.templates).expanduser()).resolve()
    if not folder.is_dir():
        raise AutoresearchError(f"templates = {settings.templates!r} is no folder", "git config autoresearch.templates <folder>")
    return folder


def named_at(repository: Repository, commit: str) -> frozenset[str]:
    """The settings whose values in a clone of this commit may be others than the defaults: its own files say something of them."""
    try:
        found = frozenset(_from_files(lambda path: repository.read_file(commit, path)))
    except AutoresearchError:
        return frozenset(_BY_NAME)  # nobody can tell
    return found | {"run"} if repository.read_file(commit, "uv.lock") is not None else found


def _from_files(read: Callable[[str], bytes | None]) -> dict[str, Setting]:
    """`.autoresearch.toml`, or else the table in pyproject.toml."""
    for path, table in ((".autoresearch.toml", ()), ("pyproject.toml", ("tool", "autoresearch"))):
        raw = read(path)
        if raw is None:
            continue
        try:
            content: Any = tomllib.loads(raw.decode())
        except (ValueError, UnicodeDecodeError) as error:
            raise AutoresearchError(f"{path} is not valid TOML: {error}", f"mend {path}") from error
        for name in table:
            content = content.get(name, {}) if isinstance(content, dict) else {}
        if not isinstance(content, dict):
            raise AutoresearchError(f"[tool.autoresearch] in {path} is no table", f"mend {path}")
        if content:
            where = f"{path} [tool.autoresearch]" if table else path
            settings = [_setting(str(name), _plain(value), where) for name, value in content.items()]
            return {s.key.name: _from_stranger(s) for s in settings}
    return {}


def _from_stranger(setting: Setting) -> Setting:
    """A setting from a file that came with the clone. Raises AutoresearchError where it would speak for the user."""
    name = setting.key.name
    if name in _USERS_OWN:
        raise AutoresearchError(f"{name} is not taken from {setting.source}: a cloned file may not say {_USERS_OWN[name]}",
                                f"take it out there, then: git config autoresearch.{name} <value>")  # fmt: skip
    return Setting(setting.key, _one_a_line(setting), setting.source, tracked=True)


def _read(repository: Repository, path: str) -> bytes | None:
    """A file as it lies in the checkout, or at HEAD where it is bare."""
    if repository.bare:
        return repository.read_file("HEAD", path)
    file = repository.root / path
    return file.read_bytes() if file.is_file() else None


def _plain(value: object) -> str:
    return "".join(f"{item}\n" for item in value) if isinstance(value, (list, tuple)) else str(value)


def _setting(name: str, text: str, where: str) -> Setting:
    key = _BY_NAME.get(name.lower().replace("_", "-"))
    if key is None:
        raise _unknown(name, where)
    if key.parse is _variables:
        text = re.sub(r"=[^\n]*", "=…", text)  # whoever writes the value, too, finds it in no message
    return Setting(key, without_secrets(text) if key.name in _URLS else text, where)


def _one_a_line(setting: Setting) -> str:
    """A value of git's configuration or of TOML is one hub or folder, whatever spaces its path has."""
    return setting.text.rstrip("\n") + "\n" if setting.key.parse in _ONE_A_LINE else setting.text


def without_secrets(text: str) -> str:
    """URLs with `***` for the name and password in them and for a query. The user of an ssh URL is no secret."""
    text = re.sub(r"([\w+.-]+://)([^/\s]*@|[^/\s:]*:(?!\d+(?:[/\s,]|$))\S*@)", _hide_user, text)
    text = re.sub(r"(://[^\s?#]*)[?#]\S*", r"\1?***", text)
    return re.sub(r"(?<![^\s,])[^\s/:@,]+:[^\s/@,]+@", "***@", text)  # user:password@host:path, as scp has it


def _hide_user(match: re.Match[str]) -> str:
    plain = match[1].lower() == "ssh://" and re.fullmatch(r"[\w.-]+@", match[2], re.ASCII)
    return match[0] if plain else match[1] + "***@"


def _from_git(repository: Repository) -> dict[str, Setting]:
    found: dict[str, Setting] = {}
    for name, text, where in repository.config_entries("autoresearch"):
        setting = _setting(name, text, where)
        before = found.get(setting.key.name)
        if setting.key.parse is _paths and before and before.source == where:  # several values add up
            setting = Setting(setting.key, f"{before.text} {text}", where)
        if setting.key.parse in _ONE_A_LINE:
            earlier = before.text if before and before.source == where else ""
            setting = Setting(setting.key, earlier + _one_a_line(setting), where)
        found[setting.key.name] = setting
    return found


def _from_environment() -> dict[str, Setting]:
    found = {}
    if os.environ.get("GITHUB_API_URL"):  # as GitHub Actions sets it
        found["api-url"] = _setting("api-url", os.environ["GITHUB_API_URL"], "GITHUB_API_URL")
    for variable, text in os.environ.items():
        word = variable.removeprefix("AUTORESEARCH_")
        if variable.startswith("AUTORESEARCH_") and word not in _CONTRACT_VARIABLES:
            setting = _setting(word.lower(), text, variable)
            found[setting.key.name] = setting
    return found


def _default_run(repository: Repository) -> Setting:
    """Upstream's way where the repository is locked with uv, otherwise the interpreter that runs this tool."""
    if _read(repository, "uv.lock") is not None and shutil.which("uv"):
        return Setting(_BY_NAME["run"], "uv run train.py", "default, as uv.lock is here")
    return Setting(_BY_NAME["run"], DEFAULT_RUN, "default")


def load_settings(repository: Repository, options: Mapping[str, object] | None = None) -> Settings:
    """All settings of this repository. `options` are the command line's, None where not given.

    Raises AutoresearchError for an unknown key, or a value that the key does not take.
    """
    found = {key.name: Setting(key, key.default, "default") for key in KEYS}
    found["run"] = _default_run(repository)
    files = _from_files(functools.partial(_read, repository))
    for layer in (files, _from_git(repository), _from_environment(), _from_options(options or {})):
        found.update(layer)
    values: dict[str, Any] = {}
    for name, setting in found.items():
        try:
            values[setting.key.field] = setting.key.parse(setting.text)
        except ValueError as error:
            raise AutoresearchError(
                f"{name} = {setting.text!r} ({setting.source}) is not {error}",
                f"git config autoresearch.{name} <value>",
            ) from error
    values["timeout"] = values["timeout"] or default_timeout(values["budget"])
    return Settings(**values, origin=found)


def _from_options(options: Mapping[str, object]) -> dict[str, Setting]:
    given = {name: _plain(value) for name, value in options.items() if value is not None and value != ()}
    return {s.key.name: s for s in (_setting(name, text, f"--{name.replace('_', '-')}") for name, text in given.items())}
