"""Listening studies from a zip to a results page, without a browser."""

import csv
import io
import stat
import zipfile
from collections import Counter
from datetime import timedelta
from itertools import pairwise

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from tests.web.conftest import log_in, visit
from unbabble import cli
from unbabble.base.errors import InputError
from unbabble.web.queue import queue
from unbabble.web.rate import tones
from unbabble.web.rate.layouts import read_folder
from unbabble.web.rate.listeners import link, preferred_of
from unbabble.web.rate.listening import Choice, Sound, draw, least_seconds, plan, whats_wrong, williams_row
from unbabble.web.rate.results import COLUMNS, as_csv, summary
from unbabble.web.rate.studies import fill
from unbabble.web.tables.jobs import Doomed, Job
from unbabble.web.tables.people import Event
from unbabble.web.tables.rate import Clip, Listener, Stimulus, Study, Trial, Vote


def voice(seed: int, seconds: float = 0.5) -> np.ndarray:
    """Noise of two bands, so that two voices differ."""
    return 0.1 * np.random.default_rng(seed).standard_normal(round(8000 * seconds))


def as_wav(samples: np.ndarray) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, 8000, format="WAV", subtype="PCM_16")
    return file.getvalue()


def folder(
    items: int = 2, systems: tuple[str, ...] = ("good", "bad"), references: bool = False
) -> dict[str, bytes]:
    """A study's files. System "good" gives the true voices, in the opposite order; the others the mixture."""
    files = {}
    for item in range(items):
        first, second = voice(10 * item), voice(10 * item + 1)
        files[f"i{item}/mixture.wav"] = as_wav(first + second)
        if references:
            files |= {f"i{item}/reference1.wav": as_wav(first), f"i{item}/reference2.wav": as_wav(second)}
        for system in systems:
            outputs = (second, first) if system == "good" else (0.3 * (first + second),) * 2
            for number, output in enumerate(outputs, 1):
                files[f"i{item}/{system}/source{number}.wav"] = as_wav(output)
    return files


@pytest.fixture
def real_decoding() -> None:
    """Asked for by tests to which it matters."""


@pytest.fixture(autouse=True)
def decoded_here(request, monkeypatch):
    """Decoding takes a process each: only tests that ask for ``real_decoding`` pay for that."""
    if "real_decoding" in request.fixturenames:
        return

    def decode(source, target, settings):
        samples, rate = soundfile.read(source)
        soundfile.write(target, samples, rate, format="FLAC", subtype="PCM_24")

    monkeypatch.setattr("unbabble.web.rate.studies.decode", decode)


def zipped(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


NEW = {"name": "Voices", "kind": "realm", "trials_each": 3, "ratings_wanted": 5, "seed": "7"}


def make(administrator, files: dict[str, bytes] | bytes | None = None, opened: bool = True, **changes) -> str:
    """A study's slug."""
    answer = administrator.post("/rate/studies", data=NEW | changes)
    assert answer.status_code == 303, answer.text
    slug = answer.headers["location"].rsplit("/", 1)[1]
    content = files if isinstance(files, bytes) else zipped(folder() if files is None else files)
    answer = fill_with(administrator, slug, content)
    assert answer.status_code == 200, answer.text
    if opened:
        assert administrator.post(f"/rate/studies/{slug}/state", data={"state": "open"}).status_code == 303
    return slug


def fill_with(administrator, slug: str, content: bytes):
    upload = administrator.upload(content, "study.zip", "archive")
    while True:
        answer = administrator.post(f"/rate/studies/{slug}/fill", json={"upload": upload["id"]})
        if answer.status_code != 200 or answer.json()["done"] == answer.json()["total"]:
            return answer


def begin(app, slug: str, **changes):
    listener = visit(app)
    form = {"hearing": "true", "quiet": "true", "agreed": "true"} | changes
    answer = listener.post(f"/rate/{slug}/begin", data=form)
    assert answer.status_code == 303, answer.text
    return listener


def earlier(app, seconds: float = 60) -> None:
    """As if all opened trials had been opened before."""
    with app.state.database.writing() as session:
        for trial in session.scalars(select(Trial).where(Trial.voted.is_(None), Trial.opened.is_not(None))):
            trial.opened -= timedelta(seconds=seconds)


def one(app, kind, *where):
    with app.state.database.reading() as session:
        return session.scalars(select(kind).where(*where)).one()


def every(app, kind, *where):
    with app.state.database.reading() as session:
        return list(session.scalars(select(kind).where(*where)))


def go_through(app, listener, slug: str, opinion) -> int:
    """Answer all trials; ``opinion(stimulus, clip)`` gives the value of a question."""
    count = 0
    while (state := listener.post(f"/api/rate/{slug}/next").json())["trial"]:
        shown = state["trial"]
        trial = one(app, Trial, Trial.id == shown["id"])
        stimulus = one(app, Stimulus, Stimulus.id == trial.stimulus_id)
        clips = {clip.id: clip for clip in every(app, Clip)}
        values = [
            opinion(stimulus, clips[trial.order[place]["clip"]] if place >= 0 else trial.order)
            for place in shown["questions"]
        ]
        earlier(app)
        body = {"values": values, "played": [1.0] * len(shown["clips"])}
        answer = listener.post(f"/api/rate/trials/{shown['id']}/votes", json=body)
        assert answer.status_code == 201, answer.text
        count += 1
    return count


def sensible(stimulus, clip) -> int:
    """What somebody who listens says, on five points."""
    if stimulus.role != "rate":
        return clip.expected
    return (4 if clip.system == "good" else 1) + clip.number % 2


# ---- From a zip to results


def test_a_study_from_a_zip_to_its_results(site, real_decoding):
    administrator = log_in(site)
    slug = make(administrator, headphones="true")
    assert "Voices" in visit(site).get("/rate").text
    careful, careless = begin(site, slug, participant="p1"), begin(site, slug, participant="=p2")
    for listener, right in ((careful, True), (careless, True)):
        number = 0 if listener is careful else 1
        known = one(site, Listener, Listener.number == number)
        answers = tones.headphone_answers(known.seed + 1)
        answer = listener.post(f"/api/rate/{slug}/headphones", json={"answers": answers})
        assert answer.json() == {"passed": right, "correct": 6, "rounds_left": 0}
    assert go_through(site, careful, slug, sensible) == 5
    assert go_through(site, careless, slug, lambda stimulus, clip: 3) == 5
    assert "Thank you" in careful.get(f"/rate/{slug}").text

    page = administrator.get(f"/rate/studies/{slug}/results").text
    assert "1 of 2 listeners count" in page
    assert "voted nearly the same every time" in page
    rows = list(csv.DictReader(io.StringIO(administrator.get(f"/rate/studies/{slug}/votes.csv").text)))
    assert len(rows) == 2 * 5 * 2
    counted = [row for row in rows if row["counts"] == "True"]
    assert len(counted) == 6
    assert {row["listener"] for row in counted} == {"0"}
    assert {row["participant"] for row in rows} == {"p1", "'=p2"}
    assert {row["role"] for row in rows} == {"rate", "gold", "trap"}
    good = [int(row["value"]) for row in counted if row["system"] == "good"]
    told = administrator.get(f"/rate/studies/{slug}/results.json").json()
    means = {each["system"]: each["mean"] for each in told["opinions"]}
    assert means == {"good": 4.5, "bad": 1.5}
    assert (sum(good) / len(good), len(told["points"])) == (4.5, 6)
    assert (told["listeners"], told["kept"], told["seed"]) == (2, 1, 7)
    raw = administrator.get(f"/rate/studies/{slug}/votes.json").json()
    assert len(raw) == 20
    with site.state.database.reading() as session:
        actions = list(session.scalars(select(Event.action)))
    assert {"made study", "filled study", "opened study"} <= set(actions)


def test_a_preference_study(light_site):
    administrator = log_in(light_site)
    slug = make(administrator, kind="ab", trials_each=2)

    def prefer(stimulus, order):
        if stimulus.role == "trap":
            return stimulus.expected[0]
        wanted = {"made: as it is", "good"}
        return next(clip["side"] for clip in order if clip["system"] in wanted)

    for _ in range(4):
        go_through(light_site, begin(light_site, slug), slug, prefer)
    found = summary(light_site.state.database, one(light_site, Study))
    (pair,) = found["preferences"]
    assert (pair.first, pair.second, pair.first_wins, pair.second_wins, pair.ties) == ("bad", "good", 0, 8, 0)
    assert found["left_out"] == []
    trials = [trial for trial in every(light_site, Trial) if len(trial.order) == 5]
    rates = {each.id for each in every(light_site, Stimulus) if each.role == "rate"}
    firsts = Counter((t.stimulus_id, t.order[1]["system"]) for t in trials if t.stimulus_id in rates)
    assert set(firsts.values()) == {2}, "each pair was heard in either order equally often"
    assert "bad or good" in administrator.get(f"/rate/studies/{slug}/results").text


def test_a_mushra_study_with_hidden_reference_and_anchors(light_site):
    administrator = log_in(light_site)
    slug = make(administrator, folder(references=True), kind="mushra", trials_each=4)

    def rate(stimulus, clip):
        return {"reference": 100, "anchor": 20, "mixture": 10}.get(
            clip.role, 95 if clip.system == "good" else 15
        )

    go_through(light_site, begin(light_site, slug), slug, rate)
    go_through(light_site, begin(light_site, slug), slug, lambda *_: 50)
    found = summary(light_site.state.database, one(light_site, Study))
    assert {each.system: each.mean for each in found["opinions"]} == {
        "hidden reference": 100, "good": 95, "anchor: low-pass": 20, "bad": 15, "anchor: mixture": 10,
    }  # fmt: skip
    ((who, why),) = found["left_out"]
    assert who == "1"
    assert "hidden reference below 90 in 4 of 4" in why[0]
    stimulus = next(each for each in every(light_site, Stimulus))
    clips = {clip.id: clip for clip in every(light_site, Clip)}
    own = {each["system"]: clips[each["clip"]] for each in stimulus.clips if each["part"] == "rated"}
    true_one, _ = soundfile.read(light_site.state.storage.local(own["hidden reference"].key))
    matched, _ = soundfile.read(light_site.state.storage.local(own["good"].key))
    assert tones.likeness(true_one, matched) > 0.99, "voices are matched to the references that they are"


def test_acr_presents_one_voice_at_a_time(light_site):
    administrator = log_in(light_site)
    slug = make(administrator, kind="acr", trials_each=8)
    listener = begin(light_site, slug)
    shown = listener.post(f"/api/rate/{slug}/next").json()["trial"]
    assert [clip["label"] for clip in shown["clips"]] == ["Recording"]
    assert go_through(light_site, listener, slug, sensible) == 10


# ---- Votes that are not taken


def test_what_was_not_heard_cannot_be_rated_and_nothing_is_rated_twice(site):
    administrator = log_in(site)
    slug = make(administrator)
    listener = begin(site, slug)
    shown = listener.post(f"/api/rate/{slug}/next").json()["trial"]
    address, whole = f"/api/rate/trials/{shown['id']}/votes", {"values": [2, 3], "played": [1.0, 1.0, 1.0]}
    assert "faster" in listener.post(address, json=whole).json()["detail"]
    earlier(site)
    for body in (
        whole | {"played": [1.0, 1.0, 0.5]},
        whole | {"played": [1.0, 1.0]},
        whole | {"values": [2]},
        whole | {"values": [0, 3]},
        whole | {"values": [2, 6]},
    ):
        assert listener.post(address, json=body).status_code == 422
    assert listener.post(address, json=whole).status_code == 201
    assert listener.post(address, json=whole).status_code == 409
    assert [vote.value for vote in sorted(every(site, Vote), key=lambda vote: vote.place)] == [2, 3]
    later = one(site, Trial, Trial.position == 2)
    assert listener.post(f"/api/rate/trials/{later.id}/votes", json=whole).status_code == 409, (
        "not opened yet"
    )
    assert listener.get(f"/api/rate/trials/{later.id}/clips/0").status_code == 404


def test_the_place_is_kept_when_the_page_is_closed(light_site):
    slug = make(log_in(light_site))
    listener = begin(light_site, slug)
    first = listener.post(f"/api/rate/{slug}/next").json()
    assert listener.post(f"/api/rate/{slug}/next").json() == first
    again = listener.post(f"/rate/{slug}/begin", data={"hearing": "true", "quiet": "true", "agreed": "true"})
    assert again.status_code == 303
    assert len(every(light_site, Listener)) == 1
    assert 'id="trial"' in listener.get(f"/rate/{slug}").text


def test_another_s_trials_are_not_there(light_site):
    administrator = log_in(light_site)
    slug = make(administrator)
    own, other = begin(light_site, slug), begin(light_site, slug)
    shown = own.post(f"/api/rate/{slug}/next").json()["trial"]
    earlier(light_site)
    assert own.get(shown["clips"][0]["url"]).status_code == 200
    body = {"values": [2, 3], "played": [1.0, 1.0, 1.0]}
    for stranger in (other, visit(light_site), administrator, log_in(light_site, "reviewer")):
        assert stranger.get(shown["clips"][0]["url"]).status_code == 404
        assert stranger.post(f"/api/rate/trials/{shown['id']}/votes", json=body).status_code == 404
    nobody = visit(light_site)
    assert nobody.post(f"/api/rate/{slug}/next").status_code == 404
    assert nobody.post(f"/api/rate/{slug}/headphones", json={"answers": [1] * 6}).status_code == 404
    assert nobody.get(f"/rate/{slug}/tones/1").status_code == 404
    assert every(light_site, Vote) == []


def test_studies_are_for_administrators(light_site):
    administrator = log_in(light_site)
    slug = make(administrator, opened=False)
    upload = administrator.upload(zipped(folder()), "a.zip", "archive")
    calls = [
        ("GET", "/rate/studies", {}),
        ("POST", "/rate/studies", {"data": NEW}),
        ("GET", f"/rate/studies/{slug}", {}),
        ("POST", f"/rate/studies/{slug}/fill", {"json": {"upload": upload["id"]}}),
        ("POST", f"/rate/studies/{slug}/state", {"data": {"state": "open"}}),
        ("POST", f"/rate/studies/{slug}/score", {}),
        ("POST", f"/rate/studies/{slug}/delete", {"data": {"name": "Voices"}}),
    ]
    calls += [
        ("GET", f"/rate/studies/{slug}/{each}", {}) for each in ("results", "results.json", "votes.csv")
    ]
    calls += [("GET", f"/rate/studies/{slug}/votes.json", {})]
    reviewer, nobody = log_in(light_site, "reviewer"), visit(light_site)
    for method, address, body in calls:
        assert reviewer.request(method, address, **body).status_code == 403, address
        assert nobody.request(method, address, **body).status_code == 401, address
    assert one(light_site, Study).state == "draft"
    for stranger in (reviewer, nobody):  # a draft is seen by administrators alone
        assert stranger.get(f"/rate/{slug}").status_code == 404
        assert (
            stranger.post(f"/rate/{slug}/begin", data={"hearing": "true", "quiet": "true"}).status_code == 404
        )
        assert "Voices" not in stranger.get("/rate").text
    other = log_in(light_site, name="other")
    answer = other.post(f"/rate/studies/{slug}/fill", json={"upload": upload["id"]})
    assert answer.status_code == 404, "another's upload"


# ---- Who takes part


def test_listeners_who_do_not_fit_are_sent_back_with_their_ids(light_site):
    links = {
        "link_completed": "https://p.example/c?x={participant}&y={session}",
        "link_screened": "https://p.example/s",
    }
    slug = make(log_in(light_site), **links)
    form = {"participant": "a b&c", "provider_session": "s1"}
    unfit = begin(light_site, slug, quiet="false", **form)
    page = unfit.get(f"/rate/{slug}").text
    assert 'href="https://p.example/s"' in page
    assert unfit.post(f"/api/rate/{slug}/next").status_code == 409
    fit = begin(light_site, slug, **form | {"participant": "d&e"})
    go_through(light_site, fit, slug, sensible)
    assert "https://p.example/c?x=d%26e&amp;y=s1" in fit.get(f"/rate/{slug}").text
    assert link("https://x/{participant}", None) == "https://x/"
    twice = visit(light_site).post(
        f"/rate/{slug}/begin",
        data={"hearing": "true", "quiet": "true", "agreed": "true", "participant": "d&e"},
    )
    assert twice.status_code == 409


def test_ids_of_a_provider_come_by_the_address_and_are_escaped(light_site):
    slug = make(log_in(light_site))
    page = visit(light_site).get(f'/rate/{slug}?PROLIFIC_PID="><script>&SESSION_ID=s').text
    assert 'name="participant" value="&#34;&gt;&lt;script&gt;"' in page
    assert 'name="provider_session" value="s"' in page


@pytest.mark.parametrize("address", ["javascript:alert(1)", "ftp://x", "https://a b", "//x"])
def test_a_link_back_leads_to_the_web(light_site, address):
    answer = log_in(light_site).post("/rate/studies", data=NEW | {"link_completed": address})
    assert answer.status_code == 422


def test_nobody_begins_without_agreeing(light_site):
    slug = make(log_in(light_site))
    answer = visit(light_site).post(f"/rate/{slug}/begin", data={"hearing": "true", "quiet": "true"})
    assert answer.status_code == 422
    assert every(light_site, Listener) == []


def test_over_loudspeakers_the_headphone_check_fails_twice(light_site):
    slug = make(log_in(light_site), headphones="true")
    listener = begin(light_site, slug)
    heard = listener.get(f"/rate/{slug}/tones/1").content
    known = one(light_site, Listener)

    def over_loudspeakers(round_):
        trials = tones.headphone_trials(known.seed + 1 + round_)
        return [trial.index("antiphase") + 1 for trial in trials]

    assert listener.post(f"/api/rate/{slug}/next").status_code == 409
    answer = listener.post(f"/api/rate/{slug}/headphones", json={"answers": over_loudspeakers(0)}).json()
    assert answer == {"passed": False, "correct": 0, "rounds_left": 1}
    assert listener.get(f"/rate/{slug}/tones/1").content != heard or over_loudspeakers(
        0
    ) != over_loudspeakers(1)
    answer = listener.post(f"/api/rate/{slug}/headphones", json={"answers": over_loudspeakers(1)}).json()
    assert answer["rounds_left"] == 0
    assert listener.post(f"/api/rate/{slug}/headphones", json={"answers": [1] * 6}).status_code == 409
    assert "Thank you for your time" in listener.get(f"/rate/{slug}").text
    ((_, why),) = summary(light_site.state.database, one(light_site, Study))["left_out"]
    assert "failed the headphone check" in why


def test_a_study_fills_up_and_what_was_given_up_is_given_to_others(light_site):
    slug = make(log_in(light_site), trials_each=4, ratings_wanted=1, link_full="https://p.example/f")
    gone = begin(light_site, slug)
    gone.post(f"/api/rate/{slug}/next")
    assert "https://p.example/f" in visit(light_site).get(f"/rate/{slug}").text
    with light_site.state.database.writing() as session:
        session.scalars(select(Listener)).one().seen -= timedelta(hours=4)
    go_through(light_site, begin(light_site, slug), slug, sensible)
    assert "full" in visit(light_site).get(f"/rate/{slug}").text
    late = begin(light_site, slug)
    assert "has all the ratings" in late.get(f"/rate/{slug}").text


def test_a_rehearsal_leaves_nothing_and_an_open_study_cannot_be_filled(light_site):
    administrator = log_in(light_site)
    slug = make(administrator, opened=False)
    assert "rehearsal" in administrator.get(f"/rate/{slug}").text
    assert administrator.post(
        f"/rate/{slug}/begin", data={"hearing": "true", "quiet": "true", "agreed": "true"}
    ).is_redirect
    go_through(light_site, administrator, slug, sensible)
    assert every(light_site, Vote)
    administrator.post(f"/rate/studies/{slug}/state", data={"state": "open"})
    assert every(light_site, Vote) == every(light_site, Listener) == []
    assert fill_with(administrator, slug, zipped(folder())).status_code == 409
    listener = begin(light_site, slug)
    administrator.post(f"/rate/studies/{slug}/state", data={"state": "closed"})
    assert listener.post(f"/api/rate/{slug}/next").status_code == 409
    assert "closed" in listener.get(f"/rate/{slug}").text
    assert visit(light_site).post(
        f"/rate/{slug}/begin", data={"hearing": "true", "quiet": "true", "agreed": "true"}
    ).status_code == 409  # fmt: skip


def test_links_can_be_changed_any_time_and_words_in_a_draft_only(light_site):
    administrator = log_in(light_site)
    slug = make(administrator, opened=False)
    form = {"trials_each": 4, "ratings_wanted": 9, "link_completed": "https://p.example/c"}
    form |= {"instructions": "Listen.", "consent": "Yes."}
    assert administrator.post(f"/rate/studies/{slug}/edit", data=form).status_code == 303
    administrator.post(f"/rate/studies/{slug}/state", data={"state": "open"})
    form |= {
        "ratings_wanted": 2,
        "link_completed": "https://p.example/d",
        "instructions": "Do not.",
        "consent": "No.",
    }
    assert administrator.post(f"/rate/studies/{slug}/edit", data=form).status_code == 303
    study = one(light_site, Study)
    assert (study.trials_each, study.ratings_wanted, study.link_completed) == (4, 2, "https://p.example/d")
    assert (study.instructions, study.consent) == ("Listen.", "Yes.")
    wrong = form | {"link_full": "javascript:alert(1)"}
    assert administrator.post(f"/rate/studies/{slug}/edit", data=wrong).status_code == 422
    for stranger, status in ((log_in(light_site, "reviewer"), 403), (visit(light_site), 401)):
        assert stranger.post(f"/rate/studies/{slug}/edit", data=form).status_code == status


def test_deleting_a_study_deletes_its_recordings_and_votes(site):
    administrator = log_in(site)
    slug = make(administrator)
    go_through(site, begin(site, slug), slug, sensible)
    keys = {clip.key for clip in every(site, Clip)}
    assert administrator.post(f"/rate/studies/{slug}/delete", data={"name": "voices"}).status_code == 422
    assert administrator.post(f"/rate/studies/{slug}/delete", data={"name": "Voices"}).status_code == 303
    for kind in (Study, Clip, Stimulus, Listener, Trial, Vote):
        assert every(site, kind) == []
    assert keys <= {each.key for each in every(site, Doomed)}


# ---- Filling


def hostile(kind: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        good = as_wav(voice(0))
        if kind == "traversal":
            archive.writestr("../../mixture.wav", good)
        elif kind == "absolute":
            archive.writestr("/etc/mixture.wav", good)
        elif kind == "link":
            info = zipfile.ZipInfo("i/mixture.wav")
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, "/etc/passwd")
        elif kind == "bomb":
            archive.writestr("i/mixture.wav", bytes(60_000_000))
        elif kind == "many":
            for k in range(3001):
                archive.writestr(f"i{k}/mixture.wav", b"")
        elif kind == "not sound":
            archive.writestr("i/mixture.wav", b"this is no recording")
            archive.writestr("i/a/source1.wav", b"neither")
        elif kind == "nothing":
            archive.writestr("holiday/beach.wav", good)
        elif kind == "no mixture":
            archive.writestr("i/a/source1.wav", good)
        elif kind == "twice":
            archive.writestr("i/mixture.wav", good)
            archive.writestr("i/mixture.flac", good)
        elif kind == "long":
            archive.writestr("i/mixture.wav", as_wav(np.zeros(121 * 8000)))
    return b"no zip" if kind == "no zip" else file.getvalue()


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("traversal", "name that cannot be used"),
        ("absolute", "name that cannot be used"),
        ("link", "link"),
        ("bomb", "larger than"),
        ("many", "more than 3000"),
        ("not sound", "mixture.wav"),
        ("nothing", "laid out"),
        ("no mixture", "needs mixtures"),
        ("twice", "twice"),
        ("long", "longer than 2 minutes"),
        ("no zip", "no zip"),
    ],
)
def test_archives_that_are_refused_leave_nothing(real_decoding, light_settings, kind, told):
    from dataclasses import replace

    from unbabble.web.app import create_app

    app = create_app(replace(light_settings, most_upload_bytes=10_000_000))
    administrator = log_in(app)
    slug = administrator.post("/rate/studies", data=NEW).headers["location"].rsplit("/", 1)[1]
    answer = fill_with(administrator, slug, hostile(kind))
    assert answer.status_code == 422
    assert told in answer.json()["detail"]
    assert every(app, Stimulus) == []
    assert administrator.post(f"/rate/studies/{slug}/state", data={"state": "open"}).status_code == 409
    assert administrator.get(f"/rate/{slug}").status_code == 409
    app.state.database.close()


def test_a_study_is_filled_piece_by_piece_and_goes_on_where_it_was(light_site, tmp_path):
    administrator = log_in(light_site)
    slug = administrator.post("/rate/studies", data=NEW).headers["location"].rsplit("/", 1)[1]
    for name, content in folder(1).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    state, study = light_site.state, one(light_site, Study)
    done = [
        fill(state.database, state.storage, state.settings, study, tmp_path, seconds=0.0).done
        for _ in range(3)
    ]
    assert done == [1, 2, 3]
    assert len(every(light_site, Stimulus)) > 2
    keys = {clip.key for clip in every(light_site, Clip) if clip.role == "estimate"}
    assert fill(state.database, state.storage, state.settings, study, tmp_path).done == 3
    assert {clip.key for clip in every(light_site, Clip) if clip.role == "estimate"} == keys
    assert slug == "voices"


def write(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def understood(folder) -> set[tuple]:
    found, _ = read_folder(folder)
    return {(each.item, each.role, each.system, each.number) for each in found}


def test_folders_by_item(tmp_path):
    write(
        tmp_path / "top", "a/mixture.wav", "a/reference1.flac", "a/x/source1.wav", "a/x/source_2.WAV",
        "a/gold5/source1.wav", "a/notes.txt", "b/mixture.wav", "b/source1.wav", "b/x/other.wav",
    )  # fmt: skip
    wanted = {
        ("a", "mixture", "", 0), ("a", "reference", "", 1), ("a", "estimate", "x", 1), ("a", "estimate", "x", 2),
        ("a", "gold", "gold 5", 1), ("b", "mixture", "", 0), ("b", "estimate", "auto", 1),
    }  # fmt: skip
    assert understood(tmp_path) == wanted
    assert understood(tmp_path / "top") == wanted
    assert read_folder(tmp_path)[1] == ["b/x/other.wav"]


def test_folders_of_this_program_s_own_commands(tmp_path):
    write(
        tmp_path, "mixtures/0000/mixture.wav", "mixtures/0000/reference1.wav", "mixtures/0000/image1.wav",
        "mixtures/one.wav", "auxiva/0000/mixture/source1.wav", "auxiva/one/source1.wav", "auxiva/one/unbabble.json",
        "references/one/source1.wav",
    )  # fmt: skip
    assert understood(tmp_path) == {
        ("0000", "mixture", "", 0), ("0000", "reference", "", 1), ("one", "mixture", "", 0),
        ("0000", "estimate", "auxiva", 1), ("one", "estimate", "auxiva", 1), ("one", "reference", "", 1),
    }  # fmt: skip


def test_blind_scores_come_from_the_queue(light_site):
    administrator = log_in(light_site)
    slug = make(administrator, trials_each=4)
    for _ in range(2):
        go_through(light_site, begin(light_site, slug), slug, sensible)
    assert administrator.post(f"/rate/studies/{slug}/score").status_code == 303
    jobs = every(light_site, Job)
    assert len(jobs) == 4
    administrator.post(f"/rate/studies/{slug}/score")
    assert len(every(light_site, Job)) == 4, "nothing is asked for twice"
    database = light_site.state.database
    clips = {clip.key: clip for clip in every(light_site, Clip)}
    refused, unsure = 0, False
    while claimed := queue.claim(database, "test"):
        roles = [each["role"] for each in claimed.inputs]
        assert roles == ["mixture", "estimate", "estimate"]
        voices = [clips[each["key"]] for each in claimed.inputs[1:]]
        if not refused:
            refused = 1
            queue.refuse(database, claimed, "too short")
            continue
        if not unsure:
            unsure = True
            queue.finish(database, claimed, {"scores": None, "warnings": ["too short"]}, [])
            continue
        scores = [{"si_snr_db": (12.0 if each.system == "good" else -1.0) + each.number} for each in voices]
        queue.finish(database, claimed, {"scores": scores}, [])
    page = administrator.get(f"/rate/studies/{slug}/results").text
    assert "4 of 8 separated voices have a blind score" in page
    assert "4 could not be scored" in page
    assert page.count("<title>") == 1 + 4
    administrator.post(f"/rate/studies/{slug}/score")
    assert sorted(job.state for job in every(light_site, Job)) == ["done", "waiting"], (
        "what failed is asked for again"
    )


def test_names_are_escaped_everywhere(light_site):
    administrator = log_in(light_site)
    evil = "<img src=x onerror=alert(1)>"
    files = {
        name.replace("good", evil).replace("i0", "<b>i0"): content for name, content in folder(1).items()
    }
    slug = make(administrator, files, name=evil, instructions=evil, consent=evil, trials_each=2)
    listener = begin(light_site, slug)
    go_through(light_site, listener, slug, lambda stimulus, clip: clip.expected or 1 + clip.number * 2)
    pages = [listener.get("/rate"), listener.get(f"/rate/{slug}"), visit(light_site).get(f"/rate/{slug}")]
    pages += [administrator.get(f"/rate/studies{each}") for each in ("", f"/{slug}", f"/{slug}/results")]
    for page in pages:
        assert page.status_code == 200
        assert "<img src=x" not in page.text
    assert "&lt;img" in pages[-1].text


def test_formulas_in_a_csv_are_text():
    row = dict.fromkeys(COLUMNS, "")
    text = as_csv(
        [row | {"system": '=HYPERLINK("x")', "item": "@a", "value": -3, "participant": "+1", "over": "-a"}]
    )
    (found,) = csv.DictReader(io.StringIO(text))
    assert (found["system"], found["item"], found["participant"]) == ('\'=HYPERLINK("x")', "'@a", "'+1")
    assert (found["over"], found["value"]) == ("'-a", "-3")


# ---- Trials


def choices(items: int, groups: int) -> list[Choice]:
    return [
        Choice(f"{item}-{group}", f"i{item}", f"g{group}", "rate", [{"clip": "c", "part": "rated"}])
        for item in range(items)
        for group in range(groups)
    ]


@settings(deadline=None)
@given(
    items=st.integers(1, 6), groups=st.integers(1, 4), each=st.integers(1, 12), listeners=st.integers(1, 25),
    seed=st.integers(0, 2**31 - 1),
)  # fmt: skip
def test_while_nobody_gives_up_stimuli_are_rated_equally_often(items, groups, each, listeners, seed):
    pool, counts = choices(items, groups), Counter()
    for number in range(listeners):
        drawn = [stimulus for stimulus, _ in draw(seed + number, number, pool, dict(counts), 1000, each)]
        assert len(drawn) == len(set(drawn)) == min(each, len(pool))
        counts.update(drawn)
        ratings = [counts[choice.id] for choice in pool]
        assert max(ratings) - min(ratings) <= 1


@settings(deadline=None)
@given(each=st.integers(1, 9), wanted=st.integers(1, 5), listeners=st.integers(1, 40))
def test_no_stimulus_is_given_more_often_than_wanted(each, wanted, listeners):
    pool, counts = choices(3, 2), Counter()
    for number in range(listeners):
        counts.update(stimulus for stimulus, _ in draw(number, number, pool, dict(counts), wanted, each))
    assert max(counts.values()) <= wanted
    assert sum(counts.values()) == min(6 * wanted, listeners * min(each, 6)) or max(counts.values()) == wanted


@settings(deadline=None)
@given(count=st.integers(1, 9))
def test_every_system_is_at_every_place_and_after_every_other_equally_often(count):
    rows = [williams_row(count, row) for row in range(count * (1 + count % 2))]
    places = Counter((place, each) for row in rows for place, each in enumerate(row))
    assert len(places) == count**2
    assert len(set(places.values())) == 1
    follows = Counter(pair for row in rows for pair in pairwise(row))
    if count > 1:
        assert len(follows) == count * (count - 1)
        assert len(set(follows.values())) == 1


def test_checks_come_anywhere_but_first_and_the_same_seed_draws_the_same():
    pool = choices(4, 2)
    for role in ("gold", "trap"):
        pool += [Choice(f"{role}{k}", "i0", role, role, [{"clip": "c", "part": "rated"}]) for k in range(3)]
    places = set()
    for seed in range(40):
        drawn = draw(seed, 0, pool, {}, 9, 5, golds=2, traps=1)
        assert drawn == draw(seed, 0, pool[::-1], {}, 9, 5, golds=2, traps=1)
        roles = [stimulus.rstrip("0123") for stimulus, _ in drawn]
        assert Counter(role for role in roles if role in ("gold", "trap")) == {"gold": 2, "trap": 1}
        assert roles[0] not in ("gold", "trap")
        places.add(roles.index("trap"))
    assert len(places) > 4


def test_the_trials_of_a_listener_can_be_drawn_again(light_site):
    slug = make(log_in(light_site))
    for _ in range(3):
        begin(light_site, slug)
    stimuli = every(light_site, Stimulus)
    pool = [Choice(each.id, each.item, each.group, each.role, each.clips) for each in stimuli]
    for listener in every(light_site, Listener):
        trials = sorted(
            every(light_site, Trial, Trial.listener_id == listener.id), key=lambda each: each.position
        )
        again = draw(listener.seed, listener.number, pool, listener.drawn_from, 5, 3, 1, 1)
        assert [(trial.stimulus_id, trial.order) for trial in trials] == again


def test_what_a_study_lacks_is_said():
    only = [Sound("c", "i", "estimate", "a", 1)]
    assert plan("acr", only)
    for kind, told in (("realm", "mixture"), ("ab", "two systems"), ("mushra", "reference")):
        with pytest.raises(InputError, match=told):
            plan(kind, only)


def test_an_answer_to_a_pair_and_to_sliders_has_its_own_range():
    pair = [{"part": "a", "side": 2, "system": "x"}, {"part": "b", "side": 1, "system": "y"}]
    assert whats_wrong("ab", pair, [0], [1, 1]) is None
    assert whats_wrong("ab", pair, [3], [1, 1])
    assert (preferred_of(pair, 1), preferred_of(pair, 2), preferred_of(pair, 0)) == ("y", "x", "")
    sliders = [{"part": "reference"}, {"part": "rated"}]
    assert whats_wrong("mushra", sliders, [100], [1, 1]) is None
    assert whats_wrong("mushra", sliders, [101], [1, 1])
    assert whats_wrong("acr", sliders, [3], [1, float("nan")])
    assert least_seconds([10, 10]) == pytest.approx(17.1)


# ---- Sounds


def test_levels_do_not_depend_on_the_recording_s_own_nor_on_its_silence():
    samples = voice(0, 2.0)
    first = tones.levelled(samples, 8000)
    assert 20 * np.log10(np.sqrt((first**2).mean())) == pytest.approx(tones.LEVEL_DB, abs=0.1)
    assert np.allclose(tones.levelled(0.01 * samples, 8000), first)
    padded = tones.levelled(np.concatenate([samples, np.zeros(80000)]), 8000)
    assert np.allclose(padded[: len(first)], first, rtol=1e-3)
    assert not tones.levelled(np.zeros(100), 8000).any()
    click = np.zeros(8000)
    click[100] = 1e-3
    assert np.abs(tones.levelled(click, 8000)).max() <= tones.MOST_PEAK
    assert len(tones.levelled(np.array([0.5]), 8000)) == 1


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_the_anchor_keeps_what_is_low_and_takes_the_rest(rate):
    scale = min(1.0, rate / 16000)
    time = np.arange(rate) / rate
    for frequency, kept in ((1000, True), (3400, True), (4000, False), (7000, False)):
        tone = np.sin(2 * np.pi * scale * frequency * time)
        left = tones.low_anchor(tone, rate)
        decibels = 10 * np.log10((left**2).mean() / (tone**2).mean() + 1e-12)
        assert (abs(decibels) < 0.1) if kept else (decibels < -25), (frequency, decibels)


def test_a_trapping_clip_ends_in_so_many_beeps():
    for beeps in range(1, 6):
        sound = tones.trapping(voice(0, 3.0), 8000, beeps)
        after = np.abs(sound[round(2.0 * 8000) :]) > 0.03
        blocks = after[: len(after) // 400 * 400].reshape(-1, 400).any(1)
        assert np.diff(blocks.astype(int), prepend=0).tolist().count(1) == beeps


def test_over_loudspeakers_the_tone_in_antiphase_vanishes_and_over_headphones_the_quiet_one_is_quietest():
    seen = set()
    for seed in range(5):
        for trial, right in zip(tones.headphone_trials(seed), tones.headphone_answers(seed), strict=True):
            assert sorted(trial) == ["antiphase", "plain", "quiet"]
            samples, rate = soundfile.read(io.BytesIO(tones.headphone_wav(trial)))
            parts = [samples[round(k * 1.5 * rate) :][:rate] for k in range(3)]
            each_ear = [np.sqrt((part**2).mean(0)).max() for part in parts]
            together = [np.sqrt((part.mean(1) ** 2).mean()) for part in parts]
            assert int(np.argmin(each_ear)) + 1 == right
            assert sorted(each_ear)[0] / sorted(each_ear)[1] == pytest.approx(0.501, abs=0.01)
            assert trial[int(np.argmin(together))] == "antiphase"
            seen.add(right)
    assert seen == {1, 2, 3}


@settings(deadline=None)
@given(st.permutations(range(3)), st.integers(0, 9))
def test_voices_are_matched_to_their_references(order, seed):
    random = np.random.default_rng(seed)
    references = list(random.standard_normal((3, 500)))
    estimates = [-3 * references[k] + 0.3 * random.standard_normal(500) for k in order]
    assert tones.matched(references, estimates) == list(order)
    assert tones.matched(references, estimates[:2]) == list(order[:2])
    some = tones.matched(references[:2], estimates)
    assert [each for each in some if each < 2] == [each for each in order if each < 2]
    assert sorted(some) == [0, 1, 2]


def test_a_study_is_filled_from_a_folder_on_the_server(light_site, tmp_path, capsys):
    def fill_from(folder):
        return cli.run(["fill", slug, str(folder), "--data", str(light_site.state.settings.data)])

    administrator = log_in(light_site)
    slug = administrator.post("/rate/studies", data=NEW).headers["location"].rsplit("/", 1)[1]
    files = folder(1) | {"i0/bad/notes.wav": b""}
    for name, content in files.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(content)
    assert fill_from(tmp_path / "in") == 0
    told = capsys.readouterr()
    assert told.out == "In the study: 3 groups of recordings.\n"
    assert told.err == "Left out, not understood: i0/bad/notes.wav\n"
    assert {each.group for each in every(light_site, Stimulus) if each.role == "rate"} == {"good", "bad"}
    administrator.post(f"/rate/studies/{slug}/state", data={"state": "open"})
    assert fill_from(tmp_path / "in") == 1
    assert fill_from(tmp_path / "nowhere") == 1
    assert capsys.readouterr().err.count("\n") == 2
