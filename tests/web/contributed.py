"""Contributions for tests, as the room "Collect" leaves them."""

import hashlib
import io
import secrets
from datetime import timedelta

import soundfile

from tests.web.conftest import wav
from unbabble.web.database import now
from unbabble.web.queue import queue
from unbabble.web.review import judging
from unbabble.web.tables.collect import Assignment, Campaign, Consent, Contribution, Participant, Prompt
from unbabble.web.tables.uploads import Upload

TALKERS = [
    {"sex": "female", "native": True, "languages": ""},
    {"sex": "male", "native": False, "languages": "Twi"},
]
TRACK = {
    "label": "Ann's Phone",
    "deviceId": "d1",
    "sampleRate": 48000,
    "channelCount": 1,
    "echoCancellation": False,
    "noiseSuppression": False,
    "autoGainControl": False,
}

SCORES = [
    {"si_snr_db": 12.0, "low_db": 9.0, "high_db": 14.0, "verdict": "fair"},
    {"si_snr_db": 6.0, "low_db": 3.0, "high_db": 9.0, "verdict": "poor"},
]


def add_campaign(app, slug: str = "pilot", name: str = "Pilot", **others) -> str:
    """A campaign with two sentences and a consent; returns its id."""
    with app.state.database.writing() as session:
        campaign = Campaign(slug=slug, name=name, pairs_each=10, pairs_total=1000, **others)
        session.add(campaign)
        session.flush()
        for number, text in enumerate(("The birch canoe slid.", "Glue the sheet.")):
            session.add(Prompt(campaign_id=campaign.id, number=number, text=text))
        text = f"I agree to {name}."
        digest = hashlib.sha256(text.encode()).hexdigest()
        session.add(Consent(campaign_id=campaign.id, version=1, text=text, sha256=digest))
    return campaign.id


def add_participant(app, campaign_id: str, provider: str | None = None, state: str = "recording") -> str:
    """Somebody who agreed; returns their id."""
    with app.state.database.writing() as session:
        consent = session.query(Consent).filter_by(campaign_id=campaign_id).one()
        participant = Participant(
            campaign_id=campaign_id,
            state=state,
            answers={"talkers": TALKERS},
            consent_id=consent.id,
            provider_participant=provider,
        )
        session.add(participant)
    return participant.id


def contribute(
    app, participant_id: str, content: bytes | None = None, status: str = "pending", **others
) -> str:
    """A recording of theirs; returns its id. Each is a second later than the one before."""
    seed = secrets.randbits(32)
    content = content or wav(1.0, 48000, seed=seed)
    samples, rate = soundfile.read(io.BytesIO(content), dtype="int32", always_2d=True)
    heard = app.state.settings.data / "partial" / f"{seed}.flac"
    soundfile.write(heard, samples, rate, subtype="PCM_24")
    seconds = len(samples) / rate
    upload = Upload(purpose="collect", name="mixture.wav", state="stored", bytes=len(content))
    upload.sample_rate, upload.channels, upload.seconds = rate, samples.shape[1], seconds
    with app.state.database.writing() as session:
        participant = session.get_one(Participant, participant_id)
        prompts = (
            session.query(Prompt).filter_by(campaign_id=participant.campaign_id).order_by(Prompt.number).all()
        )
        count = session.query(Assignment).filter_by(participant_id=participant_id).count()
        every = session.query(Contribution).count()
        session.add(upload)
        session.flush()
        upload.heard_key = f"uploads/{upload.id[:2]}/{upload.id}.flac"
        assignment = Assignment(
            participant_id=participant_id, position=count, first_id=prompts[0].id, second_id=prompts[1].id
        )
        session.add(assignment)
        session.flush()
        contribution = Contribution(
            campaign_id=participant.campaign_id,
            participant_id=participant_id,
            assignment_id=assignment.id,
            upload_id=upload.id,
            **{
                "first_text": prompts[0].text,
                "second_text": prompts[1].text,
                "seconds": seconds,
                "sha256": hashlib.sha256(content).hexdigest(),
                "checks": [{"name": "clipped", "passed": True, "value": 0.0, "advice": ""}],
                "track": TRACK,
                "status": status,
                "created": now() + timedelta(seconds=every),
            }
            | others,
        )
        session.add(contribution)
    app.state.storage.put(upload.heard_key, heard)
    heard.unlink()
    return contribution.id


def separate(app) -> None:
    """Be the worker for everything that is to be separated: two voices, half as loud as the recording."""
    judging.settle(app.state.database)
    path = app.state.settings.data / "voice.flac"
    while claimed := queue.claim(app.state.database, "test"):
        assert claimed.kind == "separate"
        with app.state.storage.open(claimed.inputs[0]["key"]) as file:
            samples, rate = soundfile.read(io.BytesIO(file.read()), dtype="int32", always_2d=True)
        soundfile.write(path, samples // 2, rate, subtype="PCM_24")
        outputs = []
        for number in (1, 2):
            key = f"jobs/{claimed.id}/source{number}.flac"
            app.state.storage.put(key, path)
            outputs.append({"name": f"source{number}.flac", "key": key, "bytes": path.stat().st_size})
        queue.finish(app.state.database, claimed, {"model": "sepformer.tiny", "scores": SCORES}, outputs)
    judging.settle(app.state.database)
