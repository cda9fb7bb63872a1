"""What recognisers share beyond their contract: padding changes nothing, decoders write what they have learnt."""

import pytest
import torch
from torch import nn

from tests.contracts.examples import build, noise, of_kind
from unbabble.base.errors import UsageError
from unbabble.base.registry import create
from unbabble.text import ctc
from unbabble.text.search import joint_beam

RECOGNIZERS = of_kind("recognizer")
DECODERS = [name for name in RECOGNIZERS if getattr(build(name), "decoder", None) is not None]
CTC = ("blstm_ctc", "conformer_ctc")
"""Those whose loss of the text is that of CTC."""
SECONDS = (1.0, 0.37, 0.613)
every_recognizer = pytest.mark.parametrize("name", RECOGNIZERS)
every_decoder = pytest.mark.parametrize("name", DECODERS)


def spoken() -> tuple[torch.Tensor, torch.Tensor]:
    """Noise of several lengths, padded, and the lengths."""
    lengths = torch.tensor([round(16000 * seconds) for seconds in SECONDS])
    waveform = noise(len(lengths), int(lengths.max())) * (torch.arange(int(lengths.max())) < lengths[:, None])
    return waveform, lengths


def targets(network, texts=("a dog", "do", "good")) -> list[torch.Tensor]:
    """Rows of numbers for each inventory, padded with 0."""
    rows = {"text": texts, "phones": ("AH D AO G", "D UW", "G UH D")}
    return [
        torch.nn.utils.rnn.pad_sequence(
            [torch.tensor(tokens.encode(each)) for each in rows[field]], batch_first=True
        )
        for field, tokens in network.targets.items()
    ]


def lively(network):
    """With weights that make it write something: its last layers are scaled up."""
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if weight.ndim > 1:
                weight.mul_(2.0 if "norm" not in name else 1.0)
    return network


@every_recognizer
def test_a_padded_batch_gives_what_single_items_give(name):
    network = lively(build(name))
    waveform, lengths = spoken()
    together = network.hypotheses(waveform, lengths)
    for number, length in enumerate(lengths.tolist()):
        alone = network.hypotheses(waveform[number : number + 1, :length], lengths[number : number + 1])
        for field, written in alone.items():
            expected = together[field][number]
            assert [each.token for each in written[0]] == [each.token for each in expected]
            for one, other in zip(written[0], expected, strict=True):
                found = torch.tensor([one.start, one.end, one.score])
                torch.testing.assert_close(
                    found, torch.tensor([other.start, other.end, other.score]), rtol=0, atol=1e-4
                )
    assert any(map(len, together["text"])), "nothing was compared"


@every_recognizer
def test_losses_of_a_padded_batch_are_those_of_single_items(name):
    network = build(name)
    waveform, lengths = spoken()
    rows = targets(network)
    together = network.losses(waveform, lengths, *rows)
    for number, length in enumerate(lengths.tolist()):
        mine = [row[number][None, : int((row[number] > 0).sum())] for row in rows]
        alone = network.losses(waveform[number : number + 1, :length], lengths[number : number + 1], *mine)
        for loss, value in alone.items():
            torch.testing.assert_close(
                value[0] * share(name, loss, rows, number), together[loss][number], rtol=1e-4, atol=1e-5
            )


def share(name: str, loss: str, rows: list[torch.Tensor], number: int) -> float:
    """The tokens of one item over their mean in the batch, by which a loss is divided; decoders write the end too."""
    row = rows[-1] if loss in ("phones", "middle") else rows[0]
    counts = (row > 0).sum(1).float() + (loss == "attention" or (loss == "text" and name not in CTC))
    return float(counts[number] / counts.mean())


@every_recognizer
def test_times_are_within_the_recording_and_go_on(name):
    network = lively(build(name))
    waveform, lengths = spoken()
    for seconds, written in zip(SECONDS, network.hypotheses(waveform, lengths)["text"], strict=True):
        starts, ends = ([getattr(each, at) for each in written] for at in ("start", "end"))
        assert starts == sorted(starts)
        assert ends == sorted(ends)
        assert all(0 <= start < end <= seconds + 0.08 for start, end in zip(starts, ends, strict=True))
        assert all(0 <= each.score <= 1 for each in written)


def test_phones_are_a_product_of_what_the_last_and_the_middle_predict():
    """Not a mixture: where the two disagree, neither has its way."""
    network = lively(build("conformer_ctc"))
    waveform, lengths = spoken()
    with torch.no_grad():
        layers, posteriors = network.hear(waveform, lengths), network.posteriors(waveform, lengths)
    product = layers.phones.softmax(-1) ** 0.5 * layers.middle.softmax(-1) ** 0.5
    expected = product / product.sum(-1, keepdim=True)
    for row, count, each in zip(expected, layers.slots.tolist(), posteriors, strict=True):
        found = torch.from_numpy(each["phones"].log_probs).exp()
        torch.testing.assert_close(found, row[:count], atol=1e-6, rtol=1e-4)
    assert not torch.allclose(layers.phones, layers.middle, atol=0.1)


@every_decoder
def test_step_by_step_a_decoder_writes_what_it_learns_at_once(name):
    network = build(name)
    heard = network.hear(*spoken())
    text = targets(network)[0]
    expected = network.decoder(heard.memory, heard.real, text).log_softmax(-1)
    state, before = network.decoder.start(heard.memory, heard.real), torch.zeros(len(text), dtype=torch.long)
    for place, following in enumerate(nn.functional.pad(text, (0, 1)).T):
        log_probs, state = network.decoder.step(before, state)
        torch.testing.assert_close(log_probs, expected[:, place], rtol=0, atol=1e-4)
        torch.testing.assert_close(log_probs.exp().sum(1), torch.ones(len(text)))
        before = following


@every_decoder
def test_rows_of_a_state_may_be_picked_and_repeated(name):
    network = build(name)
    heard = network.hear(*spoken())
    _, state = network.decoder.step(
        torch.zeros(3, dtype=torch.long), network.decoder.start(heard.memory, heard.real)
    )
    before = {key: value.clone() for key, value in state.items()}
    rows, tokens = torch.tensor([2, 0, 2, 1]), torch.tensor([3, 1, 4, 2])
    found, after = network.decoder.step(tokens, {key: value[rows] for key, value in state.items()})
    for place, (row, token) in enumerate(zip(rows, tokens, strict=True)):
        alone, _ = network.decoder.step(token[None], {key: value[row][None] for key, value in state.items()})
        torch.testing.assert_close(found[place], alone[0], rtol=0, atol=1e-5)
    assert all(len(value) == 4 for value in after.values())
    assert all(torch.equal(value, before[key]) for key, value in state.items()), "a step changes no state"


@pytest.mark.parametrize(
    ("name", "attention_weight"),
    [
        *((name, 1.0) for name in DECODERS if build(name).writers(*spoken())),
        ("joint_ctc_attention", 0.6),
    ],
)
def test_a_search_scores_its_text_as_the_network_does(name, attention_weight):
    """What is summed up step by step, of CTC prefix by prefix, is the probability of the whole."""
    network = lively(build(name))
    waveform, lengths = spoken()
    written = [each.get("text") for each in network.posteriors(waveform, lengths)]
    for number, (writer, said) in enumerate(zip(network.writers(waveform, lengths), written, strict=True)):
        logs = said.log_probs if attention_weight < 1 else None
        best = joint_beam(writer, logs, attention_weight=attention_weight, beam=4, longest=12)[0]
        with torch.no_grad():
            row = torch.tensor([best.tokens], dtype=torch.long)
            heard = network.hear(
                waveform[number : number + 1, : lengths[number]], lengths[number : number + 1]
            )
            logits = network.decoder(heard.memory, heard.real, row)[0]
        ended = torch.tensor([*best.tokens, 0])
        expected = attention_weight * float(logits.log_softmax(-1)[torch.arange(len(ended)), ended].sum())
        if logs is not None:
            expected += (1 - attention_weight) * ctc.log_probability(logs, best.tokens)
        assert best.score == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("transformer_asr", {"width": 18, "heads": 4}, "not divided by 4 heads"),
        ("joint_ctc_attention", {"ctc_weight": 1.0}, "leaves nothing"),
        ("joint_ctc_attention", {"search_ctc_weight": 0.0}, "leaves nothing"),
        ("blstm_ctc", {"tokens": ["a", "a"]}, "none twice"),
        ("listen_attend_spell", {"tokens": []}, "at least one token"),
    ],
)
def test_options_that_make_no_sense_are_one_sentence(name, options, words):
    with pytest.raises(UsageError, match=words):
        create(name, **options)
