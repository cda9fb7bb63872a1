"""SpeechBrain's recognisers and language models, built by its own reader of hyper-parameters: small, random weights.

    ~/.cache/unbabble-peers/speechbrain/bin/python benchmarks/peers/recognizers.py tests/fixtures

writes the fixtures of tests/networks/test_speechbrain_recognizers.py: hyper-parameters, tensors, tokens, one utterance,
and what the library makes of it: log mel, places, log-probabilities of CTC, and logits of the decoder given its tokens;
and those of test_speechbrain_language_models.py: hyper-parameters, tensors, tokens, and logits. Knows no code of this
project.
"""

import io
import sys
from pathlib import Path

import numpy as np
import sentencepiece
import torch
from networks import randomise, without_torchaudio

TEXTS = ["the cat sat on the mat", "a dog ate the cake", "to be or not to be", "she sells sea shells"] * 5
PIECES = 28
COMMON = """
sample_rate: 16000
n_fft: 400
n_mels: 20
output_neurons: 28
compute_features: !new:speechbrain.lobes.features.Fbank
    sample_rate: !ref <sample_rate>
    n_fft: !ref <n_fft>
    n_mels: !ref <n_mels>
normalizer: !new:speechbrain.processing.features.InputNormalization
    norm_type: global
"""
TRANSFORMER = (
    COMMON
    + """
activation: !name:torch.nn.{activation}
blank_index: 0
bos_index: 1
eos_index: 2
ctc_weight_decode: 0.40
CNN: !new:speechbrain.lobes.models.convolution.ConvolutionFrontEnd
    input_shape: (8, 10, 20)
    num_blocks: 3
    num_layers_per_block: {layers}
    out_channels: (4, 6, 4)
    kernel_sizes: (5, 5, 1)
    strides: (2, 2, 1)
    residuals: (False, {residual}, True)
Transformer: !new:speechbrain.lobes.models.transformer.TransformerASR.TransformerASR
    input_size: 20
    tgt_vocab: !ref <output_neurons>
    d_model: 16
    nhead: 4
    num_encoder_layers: 2
    num_decoder_layers: 2
    d_ffn: 24
    dropout: 0.0
    activation: !ref <activation>
    encoder_module: transformer
    attention_type: regularMHA
    normalize_before: {before}
    causal: False
ctc_lin: !new:speechbrain.nnet.linear.Linear
    input_size: 16
    n_neurons: !ref <output_neurons>
seq_lin: !new:speechbrain.nnet.linear.Linear
    input_size: 16
    n_neurons: !ref <output_neurons>
asr_model: !new:torch.nn.ModuleList
    - [!ref <CNN>, !ref <Transformer>, !ref <seq_lin>, !ref <ctc_lin>]
"""
)
CRDNN = (
    COMMON
    + """
activation: !name:torch.nn.LeakyReLU
blank_index: 0
bos_index: 0
eos_index: 0
ctc_weight_decode: 0.40
enc: !new:speechbrain.lobes.models.CRDNN.CRDNN
    input_shape: [null, null, !ref <n_mels>]
    activation: !ref <activation>
    dropout: 0.15
    cnn_blocks: 2
    cnn_channels: (4, 6)
    cnn_kernelsize: (3, 3)
    inter_layer_pooling_size: (2, 2)
    time_pooling: True
    using_2d_pooling: False
    time_pooling_size: 4
    rnn_class: !name:speechbrain.nnet.RNN.{recurrent}
    rnn_layers: 2
    rnn_neurons: 8
    rnn_bidirectional: True
    rnn_re_init: True
    dnn_blocks: 2
    dnn_neurons: 12
    projection_dim: {projection}
emb: !new:speechbrain.nnet.embedding.Embedding
    num_embeddings: !ref <output_neurons>
    embedding_dim: 6
dec: !new:speechbrain.nnet.RNN.AttentionalRNNDecoder
    enc_dim: 12
    input_size: 6
    rnn_type: gru
    attn_type: location
    hidden_size: 10
    attn_dim: 9
    num_layers: {layers}
    scaling: {scaling}
    channels: 3
    kernel_size: 5
    re_init: True
    dropout: 0.15
ctc_lin: !new:speechbrain.nnet.linear.Linear
    input_size: 12
    n_neurons: !ref <output_neurons>
seq_lin: !new:speechbrain.nnet.linear.Linear
    input_size: 10
    n_neurons: !ref <output_neurons>
asr_model: !new:torch.nn.ModuleList
    - [!ref <enc>, !ref <emb>, !ref <dec>, !ref <ctc_lin>, !ref <seq_lin>]
"""
)
TRANSFORMER_LM = """
lm_model: !new:speechbrain.lobes.models.transformer.TransformerLM.TransformerLM
    vocab: 28
    d_model: 16
    nhead: 4
    num_encoder_layers: 2
    num_decoder_layers: 0
    d_ffn: 24
    dropout: 0.0
    activation: !name:torch.nn.{activation}
    normalize_before: {before}
    d_embedding: {embedding}
lm_weight: 0.60
temperature_lm: 1.15
"""
RNN_LM = """
lm_model: !new:speechbrain.lobes.models.RNNLM.RNNLM
    output_neurons: 28
    embedding_dim: 6
    activation: !name:torch.nn.LeakyReLU
    dropout: 0.0
    rnn_class: !name:speechbrain.nnet.RNN.{recurrent}
    rnn_layers: 2
    rnn_neurons: 10
    dnn_blocks: {blocks}
    dnn_neurons: 12
    return_hidden: True
rnnlm_scorer: !new:speechbrain.decoders.scorer.RNNLMScorer
    language_model: !ref <lm_model>
    temperature: 1.25
scorer: !new:speechbrain.decoders.scorer.ScorerBuilder
    full_scorers: [!ref <rnnlm_scorer>]
    weights:
        rnnlm: 0.5
"""
LANGUAGE_MODELS = {
    "transformer_lm_1": TRANSFORMER_LM.format(activation="GELU", before=False, embedding="null"),
    "transformer_lm_2": TRANSFORMER_LM.format(activation="ReLU", before=True, embedding=12),
    "rnn_lm_1": RNN_LM.format(recurrent="LSTM", blocks=1),
    "rnn_lm_2": RNN_LM.format(recurrent="GRU", blocks=2),
}
KINDS = {
    "transformer_1": TRANSFORMER.format(activation="GELU", layers=1, residual=False, before=True),
    "transformer_2": TRANSFORMER.format(activation="ReLU", layers=2, residual=True, before=False),
    "crdnn_1": CRDNN.format(recurrent="LSTM", projection=-1, layers=1, scaling=1.0),
    "crdnn_2": CRDNN.format(recurrent="GRU", projection=7, layers=2, scaling=2.0),
}


def pieces(marks):
    """A model of pieces of words; ``marks``: with tokens for beginning and end."""
    made = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS), model_writer=made, vocab_size=PIECES, model_type="unigram", unk_id=0,
        bos_id=1 if marks else -1, eos_id=2 if marks else -1, minloglevel=2, normalization_rule_name="identity",
    )  # fmt: skip
    return np.frombuffer(made.getvalue(), np.uint8)


@torch.no_grad()
def fixture(hyperparameters):
    from hyperpyyaml import load_hyperpyyaml

    said = load_hyperpyyaml(hyperparameters)
    network = randomise(said["asr_model"], 0)
    for module in network.modules():  # as if it had been trained
        if isinstance(module, torch.nn.BatchNorm1d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    said["ctc_lin"].w.weight *= 3
    normalizer = said["normalizer"].eval()
    normalizer.glob_mean, normalizer.glob_std = torch.randn(20) * 5 - 20, torch.rand(20) * 10 + 5
    normalizer.count = 7
    waveform = torch.randn(1, 11000) * torch.linspace(0, 0.2, 11000) ** 2
    waveform[:, :3000] = 0
    bands = normalizer(said["compute_features"](waveform), torch.ones(1))
    tokens = torch.tensor([[said["bos_index"], 5, 3, 17, 5, 5, 9]])
    if "Transformer" in said:
        places, written = said["Transformer"](said["CNN"](bands), tokens)
    else:
        places = said["enc"](bands)
        written, _ = said["dec"](said["emb"](tokens), places, torch.ones(1))
    content = {f"asr/{name}": each for name, each in network.state_dict().items() if not name.endswith(".pe")}
    content |= {"normalizer/glob_mean": normalizer.glob_mean, "normalizer/glob_std": normalizer.glob_std}
    content |= {"waveform": waveform, "bands": bands, "places": places, "tokens": tokens}
    content |= {"ctc": said["ctc_lin"](places).log_softmax(-1), "logits": said["seq_lin"](written)}
    content = {name: each.numpy() for name, each in content.items()}
    return content | {
        "hyperparameters": np.array(hyperparameters),
        "tokenizer": pieces("Transformer" in said),
    }


@torch.no_grad()
def language_model(hyperparameters):
    from hyperpyyaml import load_hyperpyyaml

    network = randomise(load_hyperpyyaml(hyperparameters)["lm_model"], 0)
    tokens = torch.tensor([[1, 5, 3, 17, 5, 5, 9], [1, 9, 9, 4, 27, 3, 6]])
    logits = network(tokens)
    content = {f"lm/{name}": each for name, each in network.state_dict().items() if not name.endswith(".pe")}
    content |= {"tokens": tokens, "logits": logits[0] if isinstance(logits, tuple) else logits}
    return {name: each.numpy() for name, each in content.items()} | {
        "hyperparameters": np.array(hyperparameters)
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    without_torchaudio()
    for kinds, make in ((KINDS, fixture), (LANGUAGE_MODELS, language_model)):
        for name, hyperparameters in kinds.items():
            path = Path(sys.argv[1]) / f"speechbrain_{name}.npz"
            np.savez_compressed(path, **make(hyperparameters))
            print(path, path.stat().st_size)
