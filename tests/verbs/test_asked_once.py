"""One recording on its way through ``separate``: what is asked of it, and that sharing the answers changes no voice."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import unbabble
from unbabble.base import audio
from unbabble.base.excerpt import WHOLE
from unbabble.base.registry import create
from unbabble.base.weights import packaged
from unbabble.networks import load as networks
from unbabble.pipelines import recording
from unbabble.pipelines.choose import load
from unbabble.verbs.frame import Task
from unbabble.verbs.separate import Settings, separate_file

DEMO = Path(unbabble.__file__).parent / "demo" / "mixture.flac"

needs_weights = pytest.mark.skipif(not packaged(), reason="no packaged weights")


def separated(path: Path, out: Path, model: str = "auto", **options) -> tuple[str, torch.Tensor]:
    """The model that ``separate`` took, and the voices that it wrote."""
    settings = Settings(model, WHOLE, "cpu", "none", images=False, format="wav", options=options)
    report = separate_file(Task(str(path), path, path.stem, folder=out), settings, overwrite=True, score=True)
    assert report.model is not None
    return report.model, torch.cat([audio.read(each).samples for each in report.outputs])


@pytest.fixture
def asked(monkeypatch) -> Counter:
    """How often anything is decoded, a recording scanned for dead channels, and the demo resampled, by rate."""
    counts: Counter = Counter()
    open_decoder, live_channels, resample = audio.open_decoder, recording.live_channels, audio.resample
    own = {each.numpy().tobytes() for each in audio.read(DEMO).samples}

    def opening(*arguments):
        counts["decoded"] += 1
        return open_decoder(*arguments)

    def scanning(blocks):
        counts["scanned"] += 1
        return live_channels(blocks)

    def resampling(samples, source, target):
        if source != target and own & {each.numpy().tobytes() for each in torch.atleast_2d(samples)}:
            counts[target] += 1
        return resample(samples, source, target)

    monkeypatch.setattr(audio, "open_decoder", opening)
    monkeypatch.setattr(recording, "live_channels", scanning)
    monkeypatch.setattr(audio, "resample", resampling)
    return counts


@needs_weights
def test_a_recording_is_decoded_scanned_and_resampled_once(asked, tmp_path):
    """All that are tried on the demo, what counts and what scores share what is known of it."""
    settings = Settings("auto", WHOLE, "cpu", "none", images=False, format="wav")
    separate_file(Task(str(DEMO), DEMO, "demo", folder=tmp_path), settings, overwrite=True, score=True)
    assert asked.pop("decoded") <= 2, "its header, then its samples"
    assert asked == {"scanned": 1, 8000: 1}


def plainly(name: str, path: Path, **options) -> torch.Tensor:
    """What one model makes of a recording, in as few words as there are: no facts kept, nothing shared."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    channels = [torch.from_numpy(each) for each in np.ascontiguousarray(samples.T) if np.ptp(each) > 0]
    method = (
        networks.load(name, "separator").network if networks.is_network(name) else create(name, **options)
    )
    own = method.sample_rate or rate
    mixture = torch.stack([audio.resample(each, rate, own) for each in channels])
    voices = method(mixture[None], sample_rate=own)[0].detach()
    back = torch.stack([audio.resample(each, own, rate) for each in voices])
    return torch.nn.functional.pad(back, (0, len(samples) - back.shape[1]))


@needs_weights
@pytest.mark.parametrize(
    ("name", "rate", "dead", "options"),
    [
        ("ilrma.ip", 16000, (), {"sources": 3, "iterations": 5}),
        ("auxiva.ipa", 48000, (0, 2), {"sources": 2, "iterations": 5}),
        ("bsrnn.2talkers_8k", 44100, (0,), {}),
        ("sepformer.3talkers_8k", 8000, (), {}),
    ],
)
def test_sharing_what_is_known_changes_no_voice(tmp_path, name, rate, dead, options):
    samples = audio.resample(audio.read(DEMO).samples[:, :32000], 16000, rate)
    samples[list(dead)] = 0.0
    audio.write(tmp_path / "scene.wav", samples, rate)
    path = tmp_path / "scene.wav"
    expected = plainly(name, path, **options)
    assert torch.equal(separated(path, tmp_path / "out", name, **options)[1], expected)


@needs_weights
@pytest.mark.parametrize("channels", [[0], [1, 3]])
def test_what_auto_takes_gives_what_it_gives_alone(tmp_path, channels):
    audio.write(tmp_path / "scene.wav", audio.read(DEMO).samples[channels, :48000], 16000)
    model, voices = separated(tmp_path / "scene.wav", tmp_path / "out")
    assert torch.equal(voices, load(model, "cpu", sources=len(voices))(tmp_path / "scene.wav").sources)
