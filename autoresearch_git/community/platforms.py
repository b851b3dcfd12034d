"""Which hardware a report speaks of, in the words of its author."""

from __future__ import annotations

import re
from collections.abc import Iterable

from autoresearch_git.lab.machine import hardware_class

_BRANCH = re.compile(r"(?:^|/|\b)exp/([A-Za-z0-9][\w.+-]{0,30})/[\w./+-]+")
_DEVICE = re.compile(
    r"(?:\b(\d{1,4})\s?[x×]\s?)?\b(?:(?:NVIDIA|GeForce|AMD|Apple|Tesla|Radeon|Instinct|Intel)\s+)*"
    r"(GB?[HB]?[12]00|[HBL][1-4]0{1,2}S?|A(?:100|10G?|40|30|[2456]000)|V100S?|P100|T4|L40S?|L4|GB10"
    r"|(?:RTX|GTX)\s?(?:PRO\s?|A)?\d{3,4}(?:\s?Ti)?(?:\s?(?:Super|S)\b)?(?:\s?(?:Ada|Laptop(?:\sGPU)?)\b)?"
    r"|M[1-5](?:\s(?:Pro|Max|Ultra))?|MI\d{3}[AX]?|RX\s?\d{4}(?:\s?XTX?)?|Arc\s?[A-Z]\d{2,3}|Strix\s?Halo|Orin(?:\s?Nano)?)\b",
    re.IGNORECASE,
)
_LABELLED = re.compile(r"\b(?:platform|gpu|hardware|device|machine|card)\b\W{0,6}[:|=]\W{0,6}(.{2,80})", re.IGNORECASE)
_ALIASES = {"A6000": "RTXA6000", "A5000": "RTXA5000", "A4000": "RTXA4000"}


def devices(text: str) -> list[str]:
    """The hardware classes that a text names, each once, as `hardware_class` writes them."""
    found: dict[str, str] = {}
    text = text[:20_000]
    for many, match in dict.fromkeys(_DEVICE.findall(text)):
        name = hardware_class(" ".join(match.split()))
        if re.fullmatch(r"(?i)m[1-5]", name) and not re.search(
            rf"\b(Apple|Mac\w*|MLX|MPS)\b.{{0,80}}{match}|{match}.{{0,80}}\b(Mac|MLX|MPS)", text, re.I | re.S
        ):
            continue  # M1 to M5 name many things
        name = name.upper() if re.match(r"(?i)[rg]tx|mi\d|[a-z]{1,2}\d+$", name) else name
        name = _ALIASES.get(name, re.sub(r"TI(?=$|SUPER|LAP)", "Ti", name))
        name = re.sub(r"(?i)laptop(gpu)?$", "LaptopGPU", name)
        name = f"{int(many)}x{name}" if many and int(many) > 1 else name  # eight of them are another machine
        found.setdefault(name.upper(), name)
    return list(found.values())


def platform_of(texts: Iterable[tuple[str, str]], notes: Iterable[tuple[str, str]] = ()) -> tuple[str, str]:
    """(platform, where it was read) of a report; both empty where nothing tells. Of its own words, (where, text) in the order
    of trust, a branch `exp/<platform>/…` says it, then a line such as `GPU: RTX 2060`, then the first text that names exactly
    one device. Of the `notes` beside it, which may speak of other runs too, only such lines, if all name the same."""
    listed = [(where, text) for where, text in texts if text]
    for where, text in listed:
        match = _BRANCH.search(text[:2_000])
        if match:
            return (hardware_class(match[1]) if devices(match[1]) else match[1]), where
    found = _labelled(listed)
    if found[0]:
        return found
    for where, text in listed:
        named = devices(text)
        if len(named) == 1:
            return named[0], where
        if named:  # several: who knows which one it was
            break
    return _labelled(notes)


def _labelled(texts: Iterable[tuple[str, str]]) -> tuple[str, str]:
    told = [(device, where) for where, text in texts for line in _LABELLED.findall(text[:20_000]) for device in devices(line)]
    return told[0] if len({device for device, _ in told}) == 1 else ("", "")
