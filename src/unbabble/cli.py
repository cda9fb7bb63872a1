"""The command ``unbabble``: each verb by the name of its function, imported only when it is called.

Exit codes: 0 all done, 1 some input failed, 2 wrong usage, 128 and its number where a signal ended the command. Every
error is one sentence on stderr.
"""

import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from inspect import signature
from typing import Literal, get_args, get_origin

from cyclopts import (
    App,
    CoercionError,
    CycloptsError,
    Group,
    Parameter,
    UnknownOptionError,
    UnusedCliTokensError,
    ValidationError,
)

from unbabble import __version__
from unbabble.base.errors import InputError, UnbabbleError
from unbabble.base.words import did_you_mean
from unbabble.jobs.ending import as_by_ctrl_c
from unbabble.verbs import MODELS, SITE, TOOLS, VERBS, WORK
from unbabble.verbs.options import MORE, NUMBERS, MoreOptions, refuse_fractions

HELP_ALL = "--help-all"

app = App(
    name="unbabble",
    help="Hear every voice in a real recording, and know how well it went.",
    version=__version__,
    default_parameter=Parameter(negative=()),
    group_arguments=Group("Arguments", validator=refuse_fractions),
    group_parameters=Group("Parameters", validator=refuse_fractions),
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)
GROUPS = {name: Group(name, sort_key=place) for place, name in enumerate((WORK, MODELS, SITE, TOOLS))}
for verb in VERBS:
    app.command(verb.function, name=verb.typed, group=GROUPS[verb.group], help=verb.does)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    words = list(sys.argv[1:] if arguments is None else arguments)
    MoreOptions.shown = HELP_ALL in words
    shortened = _leaves_out(words) if words else None
    words = ["--help" if word == HELP_ALL else word for word in words]
    try:
        result = app(_stdin_last(words), exit_on_error=False, print_error=False)
        if shortened:
            print(f"More options: unbabble {shortened} {HELP_ALL}")
    except CycloptsError as error:
        return _fail(_sentence(error), 2)
    except InputError as error:
        return _fail(str(error), 1)
    except UnbabbleError as error:
        return _fail(str(error), 2)
    except BrokenPipeError:  # the reader of our output, `head` say, has seen enough
        sys.stderr.close()
        return 0
    except MemoryError:
        return _fail("There is not enough memory for this.", 1)
    except OSError as error:
        what = f"'{error.filename}'" if error.filename else "Not all could be printed"
        return _fail(f"{what}: {error.strerror or error}.", 1)
    except KeyboardInterrupt:
        return _fail("Interrupted.", 1)
    return int(getattr(result, "exit_code", 0))


def _leaves_out(words: list[str]) -> str | None:
    """The verb whose help was asked for and leaves some options out."""
    verb = next((verb for verb in VERBS if verb.typed == words[0]), None)
    if verb is None or not {"--help", "-h"} & set(words):
        return None
    parameters = signature(getattr(import_module(verb.module), verb.name)).parameters.values()
    marked = any(MORE in getattr(each.annotation, "__metadata__", ()) for each in parameters)
    return verb.typed if marked else None


def main() -> None:
    """Entry point of the command; asked to end (SIGTERM), it ends as by Ctrl-C, with exit code 143."""
    code = 1
    with as_by_ctrl_c() as received, suppress(KeyboardInterrupt):
        try:
            code = run()
        except Exception:
            if not received:
                raise
            _fail("Interrupted.", 1)  # its workers were ended too, and what they leave undone is no error
    try:
        sys.stdout.flush()
    except (
        OSError
    ):  # that has been said: without this, Python says so again when it ends, with a code of its own
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(128 + received[0] if received else code)


def _stdin_last(arguments: list[str]) -> list[str]:
    """Cyclopts takes a lone ``-`` for an option unless it stands behind ``--`` or ``=``."""
    if "--input" in arguments[:-1] and arguments[(place := arguments.index("--input")) + 1] == "-":
        arguments = [*arguments[:place], "--input=-", *arguments[place + 2 :]]
    others = [argument for argument in arguments if argument != "-"]
    if len(others) == len(arguments):
        return arguments
    return [*others, *([] if "--" in others else ["--"]), "-"]


def _sentence(error: CycloptsError) -> str:
    """What is wrong with the command line, in words that name no Python types."""
    if isinstance(error, UnusedCliTokensError):
        return f"Nothing is expected after what this command takes: {' '.join(error.unused_tokens or [])}."
    if isinstance(error, UnknownOptionError):
        typed = error.token.keyword or error.token.value
        known = [name for argument in error.argument_collection for name in argument.names]
        return f"Unknown option: {typed}.{did_you_mean(typed.partition('=')[0], known)}"
    if isinstance(error, CoercionError) and error.token is not None and error.token.keyword is not None:
        choices = get_args(error.target_type) if get_origin(error.target_type) is not Literal else ()
        wanted = [NUMBERS.get(kind) for kind in choices or (error.target_type,)]
        wanted += [word for kind in choices if get_origin(kind) is Literal for word in get_args(kind)]
        if words := [str(word) for word in wanted if word]:
            return f'{error.token.keyword} takes {" or ".join(words)}, not "{error.token.value}".'
    if isinstance(error, ValidationError):
        return error.exception_message
    return str(error).split("\n")[0]


def _fail(sentence: str, code: int) -> int:
    with suppress(OSError):  # where nothing can be printed any more
        print(f"unbabble: {sentence}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
