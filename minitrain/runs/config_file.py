"""A run's config.json: written with a checksum, and read without trusting it."""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from minitrain.files import parse_json, read_file, shown
from minitrain.runs.config import SCHEDULER_SETTINGS, Config, ConfigError
from minitrain.runs.resume_command import resume_command
from minitrain.runs.run_files import CONFIG, FORMAT, RunError, UnreadableError, check_run

# What config.json holds besides the settings.
_DESCRIPTION = {"format", "environment", "sessions"}
# Settings that old runs lack, and their values there.
_ABSENT = {**{name: getattr(Config, name) for name in SCHEDULER_SETTINGS}, "layers_every": 0}
LARGEST = 2**22  # bytes; a real one has 2 kB, and 1 kB for each session


class DamagedError(RunError):
    """A run's config.json is missing or damaged: a resumed run writes it again from the last checkpoint."""


def config_json(description: Mapping[str, Any]) -> bytes:
    """The file's content, for a configuration with its environment and its sessions."""
    content = {"format": FORMAT, **description}
    content["checksum"] = _checksum(content)
    return (json.dumps(content, indent=2) + "\n").encode()


def _checksum(content: Mapping[str, Any]) -> str:
    return f"{zlib.crc32(json.dumps(content, sort_keys=True).encode()):08x}"


def read_config(run: str | os.PathLike[str]) -> Config:
    """The configuration in a run's config.json. Raises RunError that names the fault; DamagedError for damage."""
    return read_description(run)[0]


def read_sessions(run: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The sessions in a run's config.json, each with its environment. Raises as read_config does."""
    return read_description(run)[1]


def read_description(run: str | os.PathLike[str]) -> tuple[Config, list[dict[str, Any]]]:
    """The configuration and the sessions, at the same moment. Raises as read_config does."""
    path = check_run(run) / CONFIG
    content = _read(path)
    try:
        if content.get("format") != FORMAT:
            raise RunError(f"its format is {shown(content.get('format'))}, but this minitrain reads {FORMAT}")
        sessions = content.get("sessions")
        if not isinstance(sessions, list) or not sessions or not all(map(_is_session, sessions)):
            raise RunError(f"its sessions are not what minitrain writes: {shown(sessions)}")
        settings = {name: value for name, value in content.items() if name not in _DESCRIPTION}
        return config_of(settings, run), sessions
    except RunError as error:
        # Not damage, but changed by a person or a program that knows the checksum: never replaced unasked.
        remedy = f"rename {path}, and {resume_command(Path(run))} writes it again from the last checkpoint"
        raise RunError(f"cannot read {path} as a run's configuration: {error}. To repair it, {remedy}") from None


def _read(path: Path) -> dict[str, Any]:
    """The content, whose checksum matches."""
    try:
        content = parse_json(read_file(path, LARGEST))
        if not isinstance(content, dict):
            raise ValueError("it is not a JSON object")
        if content.pop("checksum", None) != _checksum(content):
            raise ValueError("its checksum does not match: it was damaged, or edited by hand")
    except FileNotFoundError:
        raise DamagedError(f"there is no {path}") from None
    except OSError as error:
        raise UnreadableError(f"cannot read {path} ({error.strerror})") from None
    except ValueError as error:
        raise DamagedError(f"cannot read {path} as a run's configuration: {error}") from None
    return content


def _is_session(session: Any) -> bool:
    if not isinstance(session, dict) or not isinstance(session.get("environment"), dict):
        return False
    ids = session.get("continues", [])
    if not isinstance(ids, list) or not all(isinstance(id, str | None) for id in (session.get("id"), *ids)):
        return False
    return type(session.get("updates")) is int and _are_changes(session.get("changes", {}))


def _are_changes(changes: Any) -> bool:
    """Whether this is a dict from settings to [was, is]."""
    settings = get_type_hints(Config)
    fits = isinstance(changes, dict) and changes.keys() <= settings.keys()
    return fits and all(isinstance(change, list) and len(change) == 2 for change in changes.values())


def config_of(content: Mapping[str, Any], where: object) -> Config:
    """The Config with these values, which come from a file. Raises RunError for values that are not a Config's."""
    values, kinds = {}, get_type_hints(Config)
    if unknown := content.keys() - kinds.keys():
        raise RunError(f"the configuration of {where} has {shown(min(unknown))}, which is not a setting")
    for name, kind in kinds.items():
        if name not in content and name in _ABSENT:
            values[name] = _ABSENT[name]
            continue
        if name not in content:
            raise RunError(f"the configuration of {where} has no {name}")
        value = content[name]
        if get_origin(kind) is tuple:
            fits = isinstance(value, list | tuple) and all(type(size) is int for size in value)
            value = tuple(value) if fits else value
        else:
            fits = value in get_args(kind) or type(value) in (get_args(kind) or (kind,))
        if not fits:
            wanted = re.sub(r"<class '(\w+)'>|typing\.", r"\1", str(kind))
            raise RunError(f"the configuration of {where} has {shown(value)} for {name}, which must be {wanted}")
        values[name] = value
    try:
        return Config(**values)
    except ConfigError as error:
        raise RunError(f"the configuration of {where} cannot be run: {error}") from None
