"""Options: ``--set a.b=c``, YAML files, and their check against a typed class or a constructor."""

import inspect
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError

from unbabble.base.errors import UsageError
from unbabble.base.words import did_you_mean

_T = TypeVar("_T")


def parse_assignments(assignments: str | Iterable[str]) -> dict[str, Any]:
    """Turn one or several ``a.b=c`` into nested options; values are YAML scalars or lists.

    >>> parse_assignments(["window=2048", "nmf.bases=4", "nmf.tolerance=1e-3", "joint=true"])
    {'window': 2048, 'nmf': {'bases': 4, 'tolerance': 0.001}, 'joint': True}

    Raises:
        UsageError: no ``=``, no name, or two assignments that contradict each other.
    """
    options: dict[str, Any] = {}
    for assignment in [assignments] if isinstance(assignments, str) else assignments:
        name, equals, text = assignment.partition("=")
        keys = name.strip().split(".")
        if not equals or not all(keys):
            raise UsageError(f"'{assignment}' is not of the form name=value.")
        place = options
        for key in keys[:-1]:
            place = place.setdefault(key, {})
            if not isinstance(place, dict):
                raise UsageError(f"'{assignment}' sets a part of '{key}', which is a value already.")
        place[keys[-1]] = _value(text, assignment)
    return options


def _value(text: str, assignment: str) -> Any:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError(f"The value in '{assignment}' cannot be read.") from error
    if isinstance(value, str):
        try:
            return float(value)  # YAML takes 1e-3 for text
        except ValueError:
            return value
    return value


def load_yaml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read options from a YAML file; nothing in it is ever executed.

    Raises:
        UsageError: missing, not YAML, or not a mapping.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"Cannot read the configuration '{path}': {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        raise UsageError(f"'{path}' is not a valid YAML file{where}.") from error
    if not isinstance(content, dict | None):
        raise UsageError(f"'{path}' does not hold options by name.")
    return content or {}


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with ``changes`` on top, mapping by mapping.

    >>> merge({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}})
    {'a': {'b': 3, 'c': 2}}
    """
    merged = dict(base)
    for key, value in changes.items():
        below = merged.get(key)
        nested = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[key] = merge(below, value) if nested else value  # type: ignore[arg-type]
    return merged


def validate(kind: type[_T], options: Mapping[str, Any], owner: str) -> _T:
    """Build the (pydantic) dataclass ``kind`` from ``options``.

    Raises:
        UsageError: an unknown name, with the nearest one, or a value of the wrong type.
    """
    check_names(options, list(getattr(kind, "__dataclass_fields__", options)), owner)
    try:
        return TypeAdapter(kind).validate_python(dict(options))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{owner}: option '{where}': {_lower(first['msg'])}.") from error


def check_arguments(call: Callable[..., Any], options: Mapping[str, Any], owner: str) -> dict[str, Any]:
    """Check ``options`` against the keyword arguments of ``call`` and convert them to their types.

    Raises:
        UsageError: an unknown name, with the nearest one, or a value of the wrong type.
    """
    parameters = keyword_parameters(call)
    if not any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        check_names(options, [name for name in parameters if name != "tag"], owner)
    hints = {name: each.annotation for name, each in parameters.items() if each.annotation is not each.empty}
    checked = dict(options)
    for name in checked.keys() & hints.keys():
        try:
            adapter = TypeAdapter(hints[name], config=ConfigDict(arbitrary_types_allowed=True))
        except Exception:  # a type that has no schema, or a dataclass that brings its own config
            continue
        try:
            checked[name] = adapter.validate_python(checked[name])
        except ValidationError as error:
            reason = _lower(error.errors()[0]["msg"])
            raise UsageError(f"{owner}: option '{name}': {reason}, not {options[name]!r}.") from error
    return checked


def keyword_parameters(call: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """What ``call`` takes; of a class also what its constructor passes on to those of its bases as ``**options``.

    Annotations are types, not strings.
    """
    if not isinstance(call, type):
        return _parameters(call)
    parameters: dict[str, inspect.Parameter] = {}
    for cls in call.__mro__:
        if "__init__" in vars(cls) and cls is not object:
            own = _parameters(cls.__init__)
            own.pop("self", None)
            passed_on = [name for name, each in own.items() if each.kind is each.VAR_KEYWORD]
            parameters = own | parameters
            if not passed_on:
                break
            for name in passed_on:
                del parameters[name]
    return parameters


def _parameters(call: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    hints = get_type_hints(call)
    parameters = inspect.signature(call).parameters.items()
    return {name: each.replace(annotation=hints.get(name, each.empty)) for name, each in parameters}


def check_names(options: Iterable[str], known: list[str], owner: str) -> None:
    """Refuse the first name that is not ``known``, naming the nearest.

    Raises:
        UsageError: that name.
    """
    for name in options:
        if name not in known:
            hint = did_you_mean(name, known) or f" It has: {', '.join(known) or 'none'}."
            raise UsageError(f"{owner} has no option '{name}'.{hint}")


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:].rstrip(".")
