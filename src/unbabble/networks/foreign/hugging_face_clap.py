"""Hugging Face's CLAP (``laion/clap-htsat-unfused`` and its like), computed by transformers (extra ``hf``).

Y. Wu et al., "Large-scale contrastive language-audio pretraining with feature fusion and keyword-to-caption
augmentation", ICASSP 2023. The library cuts ten seconds out of a longer recording at random, so that vectors of one
recording differ from call to call; here windows of ten seconds are cut one after another by whoever calls, and what is
shorter is repeated and padded, as the library does. Checkpoints that fuse several cuts are refused.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unbabble.base.config import check_names
from unbabble.base.errors import InputError
from unbabble.base.registry import Card
from unbabble.networks.foreign.hugging_face import load_model
from unbabble.networks.foreign.recognizer import in_one_sentence, need_files
from unbabble.nn.kinds.joint_embedder import NeuralJointEmbedder

MODEL_TYPE = "clap"
LEVEL = 0.1
"""Root mean square of what the network hears: it learnt from recordings with full scale 1."""
FLOOR = 1e-10


class HuggingFaceCLAP(NeuralJointEmbedder):
    """See the module.

    Args:
        model: of transformers.
        extractor: which says what the network hears.
        tokenizer: of texts.
    """

    card: ClassVar[Card] = Card(
        "clap_htsat",
        "joint embedder",
        "Finds sounds by words: recordings and texts in one space, learnt from hundreds of thousands of pairs.",
        "Wu et al.: Large-scale contrastive language-audio pretraining, ICASSP 2023",
        network=True,
    )
    window: Tensor
    filters: Tensor

    def __init__(self, *, model: Any, extractor: Any, tokenizer: Any) -> None:
        super().__init__(
            sample_rate=extractor.sampling_rate,
            window_seconds=extractor.nb_max_samples / extractor.sampling_rate,
        )
        self.model, self.tokenizer = model, tokenizer
        self.points, self.hop = extractor.fft_window_size, extractor.hop_length
        self.most = extractor.nb_max_samples
        filters = torch.from_numpy(extractor.mel_filters_slaney).float().T
        self.register_buffer("window", torch.hann_window(self.points), persistent=False)
        self.register_buffer("filters", filters, persistent=False)

    def embed(self, waveform: Float[Tensor, "batch time"]) -> Float[Tensor, "batch dimension"]:
        """Of ten seconds at most, of which the first are heard where there are more."""
        samples = waveform.shape[1]
        repeated = (LEVEL * waveform).repeat(1, max(1, self.most // samples))[:, : self.most]
        padded = nn.functional.pad(repeated, (0, self.most - repeated.shape[1]))
        spectra = torch.stft(padded, self.points, self.hop, window=self.window, return_complex=True)
        decibels = 10 * (self.filters @ spectra.abs().square()).clamp(min=FLOOR).log10()
        whole = torch.zeros(len(waveform), 1, dtype=torch.bool, device=waveform.device)
        heard = self.model.get_audio_features(input_features=decibels.mT[:, None], is_longer=whole)
        return nn.functional.normalize(heard.pooler_output, dim=-1)

    @torch.no_grad()
    def embed_text(self, texts: Sequence[str]) -> Float[Tensor, "text dimension"]:
        """Embed each text; the ``JointEmbedder`` contract."""
        read = self.tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
        read = {name: each.to(self.window.device) for name, each in read.items()}
        return nn.functional.normalize(self.model.get_text_features(**read).pooler_output, dim=-1)

    def describe(self, tokens: Int[Tensor, "text token"]) -> Float[Tensor, "text dimension"]:
        """Texts are read by the library's own tokens: ``embed_text``."""
        raise NotImplementedError("transformers' CLAP reads texts, not rows of our tokens.")

    def scale(self) -> Float[Tensor, ""]:
        """As it was learnt for audio."""
        return self.model.logit_scale_a.clamp(max=math.log(100)).exp()


def load_clap(folder: Path, given: Mapping[str, Any]) -> HuggingFaceCLAP:
    """The CLAP in ``folder``.

    Raises:
        InputError: missing or damaged files; a checkpoint that fuses several cuts of a recording.
        MissingExtraError: without the extra ``hf``.
        UsageError: an option, of which it has none.
    """
    check_names(given, [], f"Model '{folder}'")
    model = load_model(folder, "ClapModel")
    if model.config.audio_config.enable_fusion:
        raise InputError(
            f"The CLAP in '{folder}' fuses cuts of a recording that are drawn at random: take one without, as "
            "laion/clap-htsat-unfused."
        )
    need_files(folder, "preprocessor_config.json")
    with in_one_sentence("transformers", folder):
        from transformers import AutoTokenizer, ClapFeatureExtractor

        extractor = ClapFeatureExtractor.from_pretrained(folder, local_files_only=True)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return HuggingFaceCLAP(model=model, extractor=extractor, tokenizer=tokenizer).eval()
