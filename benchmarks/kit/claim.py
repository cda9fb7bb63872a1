"""A claim: a module of a wing that measures something, and says what came out.

- Its docstring's first line is the question; the rest says how it is answered, and with which commands.
- ``measure`` gives what goes into ``results/NAME.json``: a dict, or one after another, each saved, as it gets more
  complete. Its parameters are the options of the command line, its docstring their help; a parameter ``before`` is no
  option: it gets what the file holds already, so that a claim goes on where it was (and with the machine that it names,
  unless it takes that out). What common options mean stands in ``HELP``. An option of ``Mapping[str, str]`` takes
  NAME=VALUE, or NAME for both.
- ``table`` turns that into Markdown, ``plot`` (where there is one) into figures.
- ``QUICK`` holds the options of ``--quick``; ``NAMES`` the results, where there are several of one claim; ``THREADS``
  of PyTorch, where it is not one; ``DIGITS``, the significant digits in JSON, where these are not four.
"""

import argparse
import importlib
import inspect
import json
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import torch

from benchmarks.kit import index
from benchmarks.kit.machine import machine

FOLDER = Path(__file__).resolve().parents[1]
RESULTS = FOLDER / "results"
HELP = {
    "card": "put the scores into the card of this weights file",
    "cards": "put the scores into the packaged networks' cards",
    "count": "mixtures of each kind",
    "each": "recordings of each kind",
    "minutes": "begin nothing new after so long",
    "note": "what else the table says of these runs",
    "rounds": "runs by turns, of which the median counts",
    "seconds": "length of a mixture",
    "shard": "K/N, every N-th speaker, from the K-th on; several make no table",
    "split": "of the speakers; dev, to choose by",
}
"""Of options that mean the same wherever they are and a claim says nothing else of."""


def command() -> str:
    """As it was typed, up to a note, which tables have anyway."""
    words = sys.argv[1:]
    words = words[: words.index("--note")] if "--note" in words else words
    return shlex.join(["python", "-m", "benchmarks", *words])


def load(name: str) -> dict:
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def save(name: str, result: dict) -> None:
    RESULTS.mkdir(parents=True, exist_ok=True)
    part = RESULTS / f".{name}.part"
    part.write_text(json.dumps(result, indent=1) + "\n")
    part.replace(RESULTS / f"{name}.json")


def rounded(value: Any, digits: int = 4) -> Any:
    """The same structure with floats at ``digits`` significant digits, for readable JSON."""
    if isinstance(value, float):
        return float(f"{value:.{digits}g}")
    if isinstance(value, dict):
        return {key: rounded(item, digits) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item, digits) for item in value]
    return value


@dataclass(frozen=True)
class Claim:
    """A module of a wing, and what its name leads to."""

    name: str
    module: ModuleType

    @classmethod
    def named(cls, name: str) -> "Claim":
        return cls(name, importlib.import_module(index.modules()[name]))

    @property
    def goes_on(self) -> bool:
        """Whether it wants to know what there is already."""
        return "before" in inspect.signature(self.module.measure).parameters

    def parser(self) -> argparse.ArgumentParser:
        """Of its options, and of those that all have."""
        parser = argparse.ArgumentParser(
            f"python -m benchmarks {self.name}",
            description=self.module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        add_options(parser, self.module.measure)
        parser.add_argument("--name", default=self.name, help="of the results (default: %(default)s)")
        if hasattr(self.module, "QUICK"):
            parser.add_argument("--quick", action="store_true", help="small, to see that it works; not saved")
        if hasattr(self.module, "table"):
            parser.add_argument("--report", action="store_true", help="only the table, of what there is")
        return parser

    def run(self, arguments: Sequence[str]) -> None:
        """Measure, save and tell, or only tell."""
        parser = self.parser()
        given = parser.parse_args(arguments)
        quick, report = getattr(given, "quick", False), getattr(given, "report", False)
        if quick:  # what is said besides still counts
            parser.set_defaults(**self.module.QUICK)
            given = parser.parse_args(arguments)
        for name, parameter in inspect.signature(self.module.measure).parameters.items():
            if not report and parameter.default is parameter.empty and getattr(given, name, self) is None:
                parser.error(f"{name} is needed.")
        options = {key: value for key, value in vars(given).items() if key not in ("name", "quick", "report")}
        result = load(given.name) if report else {}
        if report and not result:
            sys.exit(f"There is nothing in {RESULTS / given.name}.json yet.")
        threads = options.get("threads", getattr(self.module, "THREADS", 1))
        torch.set_num_threads(threads if isinstance(threads, int) else 1)  # several: of other processes
        for result in () if report else self.measured(given.name, quick, options):
            if not quick:
                save(given.name, result)
        if hasattr(self.module, "table") and result:
            try:
                text = self.module.table(result)
            except KeyError as missing:
                sys.exit(
                    f"{given.name}.json has no {missing}, which the table needs: it was measured before."
                )
            if not quick:  # first: who reads what is printed may have seen enough
                (RESULTS / f"{given.name}.md").write_text(text)
            print(text)
        if hasattr(self.module, "plot") and result and not quick:
            self.module.plot(result)

    def measured(self, name: str, quick: bool, options: dict[str, Any]) -> Iterator[dict]:
        """What there is after each step, with where it is from."""
        about: dict[str, Any] = {"machine": machine(), "command": command()}
        if self.goes_on:
            options = options | {"before": {} if quick else load(name)}
            said = options["before"].pop("command", "").splitlines()
            about["commands"] = options["before"].pop("commands", said)
            about["commands"] += [about.pop("command")] * (command() not in about["commands"])
        seed = options.get("seed", getattr(self.module, "SEED", None))
        about |= {} if seed is None else {"seed": seed}
        parameters = inspect.signature(self.module.measure).parameters.items()
        arguments = [options.pop(each) for each, its in parameters if its.kind is its.POSITIONAL_ONLY]
        found = self.module.measure(*arguments, **options)
        for result in [found] if isinstance(found, dict) else found or ():
            yield about | rounded(result, getattr(self.module, "DIGITS", 4))


class Pairs(argparse.Action):
    """NAME=VALUE as a dictionary; NAME stands for both."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        split = (each.partition("=") for each in values)
        setattr(namespace, self.dest, {name: value or name for name, _, value in split})


def add_options(parser: argparse.ArgumentParser, call: Callable) -> None:
    """What ``call`` takes: options, or arguments where it takes them by position alone."""
    hints = get_type_hints(call, include_extras=True)
    said = (inspect.getdoc(call) or "").partition("Args:\n")[2]
    helps = dict(re.findall(r"^    (\w+): (.*(?:\n     +.*)*)", said, re.M))
    for name, parameter in inspect.signature(call).parameters.items():
        if name == "before":
            continue
        hint, choices = hints[name], None
        if get_origin(hint) is Annotated:
            hint, choices = get_args(hint)
        if get_origin(hint) in (Union, UnionType):
            hint = next(each for each in get_args(hint) if each is not NoneType)
        text = " ".join(helps.get(name, HELP.get(name, "")).split())
        options: dict[str, Any] = {"help": text.replace("%", "%%")}
        if parameter.default is not parameter.empty:
            options["default"] = parameter.default
        if hint is bool:
            options["action"] = "store_true"
        elif get_origin(hint) is Mapping:
            options |= {"action": Pairs, "nargs": "*", "metavar": "NAME=VALUE"}
        else:
            if get_origin(hint) is Sequence:
                options["nargs"], hint = "*", get_args(hint)[0]
            if get_origin(hint) is Literal:
                choices, hint = get_args(hint), str
            options |= {"type": hint, "choices": choices}
            if parameter.default not in (None, parameter.empty, "") and "nargs" not in options:
                options["help"] += " (default: %(default)s)"
        if parameter.kind is parameter.POSITIONAL_ONLY:
            parser.add_argument(name, **options, nargs="?")
        else:
            parser.add_argument(f"--{name.replace('_', '-')}", dest=name, **options)
