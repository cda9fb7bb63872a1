"""``python -m benchmarks NAME [options]`` measures a claim (``--help`` says how); without a name, it lists them all."""

import sys

from benchmarks.kit import index
from benchmarks.kit.claim import Claim


def main(arguments: list[str]) -> int:
    """The exit code: 2 where there is no such claim."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(
            __doc__,
            *index.listing(),
            "",
            "--index writes this list into README.md and docs/benchmarks.md.",
            sep="\n",
        )
        return 0
    name, *options = arguments
    if name == "--index":
        index.write()
        return 0
    if name not in index.modules():
        print(f"There is no claim '{name}'; python -m benchmarks lists them.", file=sys.stderr)
        return 2
    Claim.named(name).run(options)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
