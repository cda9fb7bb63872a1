"""How a data set is written, and its README: what it is, for its readers."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from unbabble.web.review.shards import SHARD_BYTES
from unbabble.web.review.splits import SPLITS

LayoutName = Literal["manifest", "realm"]
SECONDS_PER_MINUTE, SECONDS_PER_HOUR = 60, 3600


@dataclass(frozen=True)
class How:
    """How a data set is written.

    Attributes:
        title: of the data set.
        layout: how recordings lie.
        shards: also as tar shards.
        shard_bytes: size that no shard passes, unless one recording does.
        seed: of the splits, to be published.
    """

    title: str
    layout: LayoutName = "manifest"
    shards: bool = False
    shard_bytes: int = SHARD_BYTES
    seed: int = 0


def card(how: How, lines: Sequence[dict[str, Any]], versions: Sequence[str]) -> str:
    """In Markdown, with the header that the Hugging Face Hub reads.

    Args:
        how: it was written.
        lines: of its manifest.
        versions: of the consent.
    """
    licences = sorted({each["recipe"]["licence"] for each in lines})
    rates = sorted({each["sample_rate"] for each in lines})
    campaigns = sorted({each["recipe"]["campaign"] for each in lines})
    scores = [each["recipe"]["blind_si_snr_db"] for each in lines if "blind_si_snr_db" in each["recipe"]]
    separated = sum("estimates" in each for each in lines)
    parts = [
        _header(how.title, licences),
        f"# {_plain(how.title)}",
        f"{_count(len(lines), 'recording')}, {_duration(lines)}, by {_count(_people(lines), 'contributor')}. A "
        "contributor is two people in a room of their own, who read aloud at the same time. Nobody knows the clean "
        "voices; what each read is known.",
        _table(lines),
        "\n".join(
            [
                f"- Licence: {_plain(', '.join(licences))}",
                f"- Consent: {', '.join(f'[{version}](consent/{version}.txt)' for version in versions)}",
                f"- Campaigns: {', '.join(campaigns)}",
                f"- Sample rates: {', '.join(map(str, rates))} Hz",
                f"- Separated by the site: {separated} of {len(lines)}"
                + (f"; estimated SI-SNR of the voices {sum(scores) / len(scores):.1f} dB" if scores else ""),
                f"- Splits: by contributor, so that none is in two; seed {how.seed}. More recordings move nobody. "
                "Whether somebody came twice, as two contributors, is not known.",
                "- Contributors and recordings have pseudonyms, the same in every export of the site.",
            ]
        ),
        "## Files",
        _files(how, lines, separated),
        "## Use",
        _use(how, lines, separated),
        "## Withdrawal",
        "Contributors may withdraw at any time. Before you pass this on, export it again: what was withdrawn is gone.",
    ]
    return "\n\n".join(parts) + "\n"


def _header(title: str, licences: Sequence[str]) -> str:
    content = {
        "pretty_name": title,
        "license": "other",
        "license_name": ", ".join(licences),
        "task_categories": ["audio-to-audio"],
        "tags": ["speech-separation"],
    }
    return "\n".join(["---", *(f"{name}: {json.dumps(value)}" for name, value in content.items()), "---"])


def _table(lines: Sequence[dict[str, Any]]) -> str:
    rows = ["| split | recordings | duration | contributors |", "|-|-|-|-|"]
    for split in SPLITS:
        part = [each for each in lines if each["split"] == split]
        rows.append(f"| {split} | {len(part)} | {_duration(part)} | {_people(part)} |")
    return "\n".join(rows)


def _files(how: How, lines: Sequence[dict[str, Any]], separated: int) -> str:
    parts = ", ".join(f"`{split}.jsonl`" for split in _splits(lines))
    rows = [f"- `manifest.jsonl`: all recordings, a JSON object a line; {parts}: those of a split."]
    if how.layout == "realm":
        rows += [
            "- `audio_files_converted_8000Hz/`: the recordings at 8 kHz, as REAL-M has them.",
            "- `transcriptions/`: what was read.",
        ]
    else:
        rows += ["- `audio/CONTRIBUTOR/`: the recordings, sample by sample."]
    if separated:
        rows += [
            "- `voices/`: what the site's separator made of them. These are estimates, not the true voices."
        ]
    if how.shards:
        rows += ["- `shards/`: the same recordings as tar files for WebDataset, `NAME.wav` and `NAME.json`."]
    return "\n".join(rows)


def _use(how: How, lines: Sequence[dict[str, Any]], separated: int) -> str:
    commands = ["unbabble bench folder --data manifest.jsonl"]
    if how.layout == "realm":
        commands = ["unbabble bench realm --data ."]
    if separated:
        commands += ["unbabble score manifest.jsonl"]
    chosen_on = "dev" if "dev" in _splits(lines) else "manifest"
    commands += [f"unbabble train RECIPE.yaml --validate-blind {chosen_on}.jsonl"]
    return "\n".join(f"    {command}" for command in commands)


def _people(lines: Sequence[dict[str, Any]]) -> int:
    return len({each["recipe"]["contributor"] for each in lines})


def _splits(lines: Sequence[dict[str, Any]]) -> list[str]:
    """Those with recordings."""
    there = {each["split"] for each in lines}
    return [split for split in SPLITS if split in there]


def _duration(lines: Sequence[dict[str, Any]]) -> str:
    seconds = sum(each["seconds"] for each in lines)
    if seconds < SECONDS_PER_HOUR:
        return f"{seconds / SECONDS_PER_MINUTE:.1f} minutes"
    return f"{seconds / SECONDS_PER_HOUR:.1f} hours"


def _count(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _plain(text: str) -> str:
    """On one line, without HTML."""
    return " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")
