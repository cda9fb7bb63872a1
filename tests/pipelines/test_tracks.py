"""Long recordings: order, seams, silence, failing segments, and memory."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import soundfile
import torch

from unbabble.base import audio
from unbabble.base.errors import InputError, UsageError
from unbabble.pipelines.recording import Recording
from unbabble.pipelines.separate import load
from unbabble.pipelines.tracks import separate_long

RATE = 1000
SECONDS = 12


def voices(count: int = 2) -> torch.Tensor:
    """Coming and going noises, (source, time): the second is the loudest."""
    generator = torch.Generator().manual_seed(0)
    time = torch.arange(SECONDS * RATE) / RATE
    noise = torch.randn(count, len(time), generator=generator)
    envelopes = torch.stack([torch.sin((2 + k) * time + k) ** 2 for k in range(count)])
    return noise * envelopes * torch.tensor([0.02, 0.1, 0.05, 0.01][:count])[:, None]


class Oracle:
    """Knows the answer, but each time puts it in another order."""

    def __init__(self, truth: torch.Tensor, channels: int = 2, counts: list[int] | None = None) -> None:
        self.truth, self.channels, self.counts = truth, channels, counts
        self.options: dict = {}
        self.calls: list[torch.Tensor] = []

    def mixture(self) -> torch.Tensor:
        return torch.cat([self.truth.sum(0)[None], 0.5 * self.truth.sum(0).expand(self.channels - 1, -1)])

    def __call__(self, source, sample_rate, images):
        assert sample_rate == RATE
        mixture = self.mixture()
        place = next(
            s for s in range(mixture.shape[1]) if torch.equal(mixture[:, s : s + source.shape[1]], source)
        )
        part = self.truth[:, place : place + source.shape[1]]
        if self.counts:
            part = part[: self.counts[len(self.calls)]]
        part = part.roll(len(self.calls), 0)
        self.calls.append(source)
        shares = torch.tensor([1.0, *[0.5] * (self.channels - 1)])[:, None]
        return SimpleNamespace(
            sources=part,
            images=part[:, None] * shares if images else None,
            model="oracle",
            warnings=[f"{len(self.calls)} % is odd."],
            recorded=source[0],
        )


def write(path: Path, mixture: torch.Tensor) -> Recording:
    audio.write(path, mixture, RATE)
    return Recording.open(path)


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("images", [False, True])
def test_order_and_seams(tmp_path, count, images):
    oracle = Oracle(voices(count))
    recording = write(tmp_path / "mixture.wav", oracle.mixture())
    result = separate_long(oracle, recording, tmp_path / "out", segment=3, overlap=1, images=images)
    assert result.segments == len(oracle.calls) == 6
    assert max(call.shape[1] for call in oracle.calls) == 3 * RATE
    loudest = oracle.truth.square().sum(1).argsort(descending=True)
    names = [f"source{k}.wav" for k in range(1, count + 1)]
    names += [f"source{k}_image.wav" for k in range(1, count + 1)] if images else []
    assert [path.name for path in result.outputs] == names
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(names)
    for number, source in enumerate(loudest):
        voice = audio.read(result.outputs[number]).samples
        assert torch.allclose(voice[0], oracle.truth[source], atol=1e-6)
        if images:
            image = audio.read(result.outputs[count + number]).samples
            assert torch.allclose(image, torch.stack([voice[0], 0.5 * voice[0]]), atol=1e-6)
    assert (result.model, result.sources, result.audio_seconds) == ("oracle", count, SECONDS)
    assert result.warnings == ["1 % is odd."]


@pytest.mark.parametrize("format", ["wav", "flac"])
def test_what_is_in_no_voice_makes_the_sum_whole(tmp_path, format):
    oracle = Oracle(voices(3), counts=[2] * 6)  # the third talker is missed
    recording = write(tmp_path / "mixture.wav", oracle.mixture())
    result = separate_long(
        oracle, recording, tmp_path / "out", segment=3, overlap=1, residual=True, format=format
    )
    assert result.outputs[-1].name == f"residual.{format}"
    assert sorted((tmp_path / "out").iterdir()) == sorted(result.outputs)
    whole = sum(audio.read(path).samples for path in result.outputs)
    assert torch.allclose(whole, oracle.mixture()[:1], atol=1e-5)


def test_segments_with_fewer_and_more_voices(tmp_path):
    oracle = Oracle(voices(3), counts=[1, 3, 2, 3, 2, 3])
    recording = write(tmp_path / "mixture.wav", oracle.mixture())
    result = separate_long(oracle, recording, tmp_path, segment=3, overlap=1)
    assert result.sources == 3
    tracks = torch.cat([audio.read(path).samples for path in result.outputs])
    assert tracks.shape == (3, SECONDS * RATE)
    loudest = oracle.truth.square().sum(1).argmax()
    assert torch.allclose(tracks[0, 3 * RATE :], oracle.truth[loudest, 3 * RATE :], atol=1e-6)


def test_silent_segments_stay_silent(tmp_path):
    truth = voices()
    truth[:, : 3 * RATE] = 0
    truth[:, 5 * RATE : 9 * RATE] = 0
    oracle = Oracle(truth)
    recording = write(tmp_path / "mixture.wav", oracle.mixture())
    result = separate_long(oracle, recording, tmp_path, segment=3, overlap=1)
    tracks = torch.cat([audio.read(path).samples for path in result.outputs])
    assert result.segments > len(oracle.calls)
    assert not tracks[:, 5 * RATE : 9 * RATE].any()
    assert torch.allclose(tracks.sum(0), truth.sum(0), atol=1e-6)


def test_a_segment_that_fails_is_shared_out(tmp_path):
    oracle = Oracle(voices())

    class Moody(Oracle):
        def __call__(self, source, sample_rate, images):
            if len(self.calls) == 2:
                self.calls.append(source)
                raise InputError("Not today.")
            return super().__call__(source, sample_rate, images)

    moody = Moody(oracle.truth)
    recording = write(tmp_path / "mixture.wav", moody.mixture())
    result = separate_long(moody, recording, tmp_path, segment=3, overlap=1)
    assert "Segment 3 was shared out equally instead of separated: Not today." in result.warnings
    tracks = torch.cat([audio.read(path).samples for path in result.outputs])
    assert torch.allclose(tracks.sum(0), moody.mixture()[0], atol=1e-6)


def test_nothing_is_left_where_nothing_could_be_done(tmp_path):
    def never(source, sample_rate, images):
        raise InputError("Not ever.")

    never.options = {}  # type: ignore[attr-defined]
    recording = write(tmp_path / "mixture.wav", Oracle(voices()).mixture())
    with pytest.raises(InputError, match="Not ever"):
        separate_long(never, recording, tmp_path / "out", segment=3)  # type: ignore[arg-type]
    silent = write(tmp_path / "silent.wav", torch.zeros(2, 5 * RATE))
    with pytest.raises(InputError, match="silent"):
        separate_long(never, silent, tmp_path / "out", segment=3)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="half"):
        separate_long(never, recording, tmp_path / "out", segment=3, overlap=2)  # type: ignore[arg-type]
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(("format", "subtype"), [("flac", "PCM_24"), ("wav16", "PCM_16")])
def test_what_would_clip_is_scaled_alike(tmp_path, format, subtype):
    oracle = Oracle(30 * voices())
    recording = write(tmp_path / "mixture.wav", oracle.mixture())
    result = separate_long(oracle, recording, tmp_path, segment=3, format=format)
    assert any("so that nothing clips" in text for text in result.warnings)
    tracks = torch.cat([audio.read(path).samples for path in result.outputs])
    ratio = tracks.norm(dim=1) / oracle.truth.flip(0).norm(dim=1)
    assert float(ratio[0]) == pytest.approx(float(ratio[1]), rel=1e-4)
    assert soundfile.info(result.outputs[0]).subtype == subtype


def test_with_a_real_model(tmp_path):
    mixture = torch.stack([voices()[0] + 0.4 * voices()[1], 0.3 * voices()[0] + voices()[1]])
    recording = write(tmp_path / "mixture.wav", mixture)
    model = load("auxiva.iss", "cpu", iterations=15, window_length=128)
    result = separate_long(model, recording, tmp_path, segment=4, overlap=1)
    tracks = torch.cat([audio.read(path).samples for path in result.outputs])
    assert torch.allclose(tracks.sum(0), mixture[0], atol=1e-4)
    truth = torch.stack([0.4 * voices()[1], voices()[0]])
    for track, voice in zip(tracks, truth, strict=True):
        assert float(torch.cosine_similarity(track, voice, dim=0)) > 0.9


class Colours:
    """Tells noises apart by their colour."""

    sample_rate = RATE

    def __call__(self, waveform):
        bands = torch.nn.functional.adaptive_avg_pool1d(torch.fft.rfft(waveform).abs().square(), 24)
        return torch.nn.functional.normalize(bands, dim=-1)


def test_traits_tell_who_is_who_where_the_overlap_is_silent(tmp_path, monkeypatch):
    """Three voices of their own colour that take turns; at every seam two of them are silent."""
    white = torch.randn(3, SECONDS * RATE + 2, generator=torch.Generator().manual_seed(1)) * 0.1
    low, middle, high = (
        white[k, :-2] * taps[0] + white[k, 1:-1] * taps[1] + white[k, 2:] * taps[2]
        for k, taps in enumerate(((1, 2, 1), (1, 0, -1), (1, -2, 1)))
    )
    truth = torch.stack([low, 0.8 * middle, 0.5 * high])
    turn = torch.arange(SECONDS * RATE) // (RATE // 3) % 6  # a segment ends and begins with one voice alone
    for k in range(3):
        truth[k] *= (turn == k) | ((turn == 5) & (k == 0))
    oracle = Oracle(truth)
    recording = write(tmp_path / "mixture.wav", oracle.mixture())
    result = separate_long(oracle, recording, tmp_path, segment=4, overlap=1, embedder=Colours())
    tracks = torch.cat([audio.read(path).samples for path in result.outputs])
    order = truth.square().sum(1).argsort(descending=True)
    assert torch.allclose(tracks, truth[order], atol=1e-6)


def test_progress_is_told(tmp_path):
    oracle = Oracle(voices())
    recording = write(tmp_path / "mixture.wav", oracle.mixture())
    told = []
    separate_long(oracle, recording, tmp_path, segment=4, overlap=1, progress=lambda *each: told.append(each))
    assert [done for done, _ in told] == [3, 6, 9, 12]
    assert {whole for _, whole in told} == {SECONDS}
