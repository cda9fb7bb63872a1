"""The documentation is true: marked commands and Python blocks run, every method and option is explained.

A block marked by ``<!-- run -->`` on the line before it runs, blocks of one page in order and in one folder; with
``<!-- run, same output -->`` it must also print what the page shows.
"""

import glob
import inspect
import re
import shlex
import shutil
from collections import defaultdict
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import unbabble
from unbabble import cli
from unbabble.base import registry
from unbabble.verbs import VERBS

REPOSITORY = Path(__file__).parent.parent
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
DEMO = Path(unbabble.__file__).parent / "demo"
BLOCK = re.compile(r"<!-- run(?P<same>, same output)? -->\n```(?P<kind>\w+)\n(?P<text>.*?)^```", re.S | re.M)
FUNCTIONS = {verb.typed: getattr(import_module(verb.module), verb.name) for verb in VERBS}
PAGE_OF = {name: name for name in FUNCTIONS}
PAGE_OF |= {"forget": "adapt", "prepare": "data", "push": "models", "pull": "models"}
PAGE_OF |= dict.fromkeys(("administrator", "collected", "fill"), "serve")
"""The page of each command, which some share."""
FORM = ["What for", "Commands", "What comes out", "When not"]
"""How the page of a command begins."""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with what the pages' examples name: the demo recording and its voices."""
    samples, rate = soundfile.read(DEMO / "mixture.flac")
    soundfile.write(tmp_path / "meeting.wav", samples, rate)
    (tmp_path / "recordings").mkdir()
    shutil.copy(tmp_path / "meeting.wav", tmp_path / "recordings" / "monday.wav")
    for number, name in enumerate(("alice", "bob", "carol"), 1):
        samples, rate = soundfile.read(DEMO / f"reference{number}.flac")
        soundfile.write(tmp_path / f"{name}.wav", samples, rate)
        (tmp_path / "speech" / name).mkdir(parents=True)
        shutil.copy(tmp_path / f"{name}.wav", tmp_path / "speech" / name)
    for name in ("src", "LICENSE"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    return tmp_path


def options_of(verb: str) -> list[str]:
    """What can be typed besides inputs, in its longest form."""
    parameters = inspect.signature(FUNCTIONS[verb]).parameters.values()
    keywords = [each.name for each in parameters if each.kind is inspect.Parameter.KEYWORD_ONLY]
    return [f"--{name.strip('_').replace('_', '-')}" for name in keywords]


def expand(word: str) -> list[str]:
    """What a shell makes of a pattern."""
    return sorted(glob.glob(word)) or [word]


@pytest.mark.parametrize(
    "page", [page for page in PAGES if BLOCK.search(page.read_text())], ids=lambda p: p.name
)
def test_marked_blocks_run(page, here, capsys):
    for block in BLOCK.finditer(page.read_text()):
        if block["kind"] == "python":
            exec(compile(block["text"], str(page), "exec"), {})
            capsys.readouterr()
            continue
        lines = block["text"].replace("\\\n", " ").splitlines()
        for line in lines:
            if not line.startswith("$ "):
                continue
            command, *arguments = shlex.split(line[2:])
            assert command == "unbabble", f"only unbabble's commands can be run: {line}"
            code = cli.run([word for argument in arguments for word in expand(argument)])
            printed = capsys.readouterr()
            assert code == 0, f"{line}\n{printed.err}"
            if block["same"]:
                shown = "\n".join(each for each in lines if not each.startswith("$ "))
                assert sorted(printed.out.split()) == sorted(shown.split())  # whatever the width


def test_commands_that_are_not_run_name_what_exists():
    verbs = defaultdict(set)
    for page in PAGES:
        for verb, rest in re.findall(r"^\$ unbabble ([\w-]+)(.*)$", page.read_text(), re.M):
            verbs[verb] |= set(re.findall(r"(--[a-z0-9-]+)", rest))
    for verb, options in verbs.items():
        assert verb in FUNCTIONS, f"unbabble {verb}"
        assert options <= set(options_of(verb)), f"unbabble {verb}"


@pytest.mark.parametrize("verb", FUNCTIONS)
def test_every_option_is_explained(verb):
    text = (REPOSITORY / "docs" / f"{PAGE_OF[verb]}.md").read_text()
    for option in options_of(verb):
        assert f"`{option}" in text, f"docs/{PAGE_OF[verb]}.md lacks {option}"


@pytest.mark.parametrize("page", sorted(set(PAGE_OF.values())))
def test_pages_of_commands_have_one_form(page):
    """What for, three commands (or one of each, of many), what comes out, when not: in this order, and none empty."""
    _, *sections = re.split(r"^## ", (REPOSITORY / "docs" / f"{page}.md").read_text(), flags=re.M)
    assert [section.splitlines()[0] for section in sections[: len(FORM)]] == FORM
    assert all(len(section.split()) > 10 for section in sections[: len(FORM)])
    commands = re.findall(r"^\$ .*\bunbabble ([\w-]+)", sections[1], re.M)
    verbs = {verb for verb, its in PAGE_OF.items() if its == page}
    assert verbs <= set(commands)
    assert 3 <= len(commands) <= 5


def test_every_page_is_in_the_navigation():
    navigation = (
        (REPOSITORY / "mkdocs.yml").read_text().partition("nav:")[2].partition("markdown_extensions")[0]
    )
    named = re.findall(r"(\S+\.md)", navigation)
    assert sorted(named) == sorted(page.name for page in (REPOSITORY / "docs").glob("*.md"))


def test_every_method_has_its_section():
    text = (REPOSITORY / "docs" / "methods.md").read_text()
    headings = re.findall(r"^### (\w+(?:, \w+)*)$", text, re.M)
    kinds = ("separator", "enhancer", "recognizer", "language model")
    assert {name for heading in headings for name in heading.split(", ")} == {
        card.name for card in registry.cards().values() if card.contract in kinds
    }


def test_the_example_of_a_method_is_whole(tmp_path, monkeypatch):
    text = (REPOSITORY / "docs" / "adding-a-method.md").read_text()
    code = re.search(r"<!-- method: components -->\n```python\n(.*?)^```", text, re.S | re.M)
    assert code
    family = tmp_path / "separation"
    family.mkdir()
    (family / "components.py").write_text(code[1])
    monkeypatch.setattr(registry, "METHODS_FOLDER", tmp_path)
    monkeypatch.setattr(registry, "_classes", {})
    registry.cards.cache_clear()
    try:
        assert registry.models() == ["components"]
        exec(compile(code[1], "components.py", "exec"), {"__name__": "components"})
        mixture = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 3, 1000))).float()
        sources = registry.create("components")(mixture, sample_rate=8000)
        assert sources.shape == (2, 3, 1000)
        assert torch.allclose(sources.sum(1), mixture[:, 0], atol=1e-4)
        images = registry.create("components", sources=2)(mixture, images=True)
        assert images.shape == (2, 2, 3, 1000)
        with pytest.raises(unbabble.InputError):
            registry.create("components")(mixture[:, :1])
    finally:
        registry.cards.cache_clear()


@pytest.mark.filterwarnings("ignore:.*pin_memory")
def test_the_recipe_in_the_page_on_training_trains(here, monkeypatch):
    text = (REPOSITORY / "docs" / "train.md").read_text()
    recipe = re.search(r"<!-- recipe -->\n```yaml\n(.*?)^```", text, re.S | re.M)
    assert recipe
    Path("recipe.yaml").write_text(recipe[1])
    monkeypatch.setenv("UNBABBLE_CACHE", str(here / "cache"))
    for speaker in Path("speech").iterdir():  # five utterances each, of which one is held out
        samples, rate = soundfile.read(next(speaker.iterdir()))
        for number, part in enumerate(np.array_split(samples, 5)):
            soundfile.write(speaker / f"{number}.wav", part, rate)
    assert cli.run(["train", "recipe.yaml", "--device", "cpu", "--quiet"]) == 0
    assert cli.run(["separate", "bob.wav", "--model", "runs/recipe/best.safetensors", "--quiet"]) == 0
    assert len(list(Path("voices/bob").glob("source*.wav"))) == 2


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.S | re.M)  # code has brackets, too
        for target in re.findall(r"\]\((?!https?://|mailto:)([^)#]+)[^)]*\)", text):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
