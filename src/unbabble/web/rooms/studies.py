"""Rate, for administrators: making a study, filling it, opening and closing it, and what it found."""

import json
import secrets
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, HTTPException, Path, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel, Field
from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError

from unbabble.web.pages import page
from unbabble.web.queue.disposal import doom
from unbabble.web.rate.blind import ask_for_scores, collect_scores
from unbabble.web.rate.listeners import given
from unbabble.web.rate.listening import CONSENT, INSTRUCTIONS, KINDS
from unbabble.web.rate.results import as_csv, raw_votes, summary
from unbabble.web.rate.scatter import mark, scatter
from unbabble.web.rate.studies import clips_of, delete_study, fill, slug_for, unpacked
from unbabble.web.tables.rate import Listener, Stimulus, Study, Trial
from unbabble.web.tables.uploads import Upload
from unbabble.web.visitors import Administrator, Visitor, log

router = APIRouter(include_in_schema=False, prefix="/rate/studies")
Slug = Annotated[str, Path(pattern=r"^[a-z0-9-]{1,64}$")]
Words = r"^[^\x00]*$"
Link = Annotated[str, Form(max_length=1000, pattern=r"^(https?://[^\s\x00]+)?$")]
MOST_SEED = 2**31 - 1
SCATTER_NAME = "Mean opinion of each separated voice against its blind score"


class Archive(BaseModel):
    """A zip that was uploaded with purpose ``archive``."""

    upload: str = Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")


@router.get("")
def studies(request: Request, user: Administrator) -> Response:
    """All studies, and the form for a new one."""
    with request.app.state.database.reading() as session:
        all_studies = session.scalars(select(Study).order_by(Study.created.desc())).all()
        rows = session.execute(
            select(Listener.study_id, Listener.state, func.count()).group_by(
                Listener.study_id, Listener.state
            )
        )
        counts: dict[str, dict[str, int]] = {}
        for key, state, count in rows:
            counts.setdefault(key, {})[state] = count
    texts = {"instructions": INSTRUCTIONS, "consent": CONSENT}
    return page(request, "rate/studies.html", studies=all_studies, counts=counts, kinds=KINDS, texts=texts)


@router.post("")
def make(
    request: Request,
    user: Administrator,
    name: Annotated[str, Form(min_length=1, max_length=200, pattern=Words)],
    kind: Annotated[Literal["realm", "acr", "ab", "mushra"], Form()],
    trials_each: Annotated[int, Form(ge=1, le=500)] = 10,
    ratings_wanted: Annotated[int, Form(ge=1, le=10000)] = 8,
    golds_each: Annotated[int, Form(ge=0, le=10)] = 1,
    traps_each: Annotated[int, Form(ge=0, le=10)] = 1,
    headphones: Annotated[bool, Form()] = False,
    instructions: Annotated[str, Form(max_length=10_000, pattern=Words)] = "",
    consent: Annotated[str, Form(max_length=10_000, pattern=Words)] = "",
    link_completed: Link = "",
    link_screened: Link = "",
    link_full: Link = "",
    seed: Annotated[str, Form(pattern=r"^\s*\d{0,10}\s*$")] = "",
) -> Response:
    """Make a study, as a draft."""
    chosen = int(seed) if seed.strip() else secrets.randbelow(MOST_SEED)
    if chosen > MOST_SEED:
        raise HTTPException(422, f"A seed is at most {MOST_SEED}.")
    with request.app.state.database.writing() as session:
        study = Study(
            slug=slug_for(session, name),
            name=name,
            kind=kind,
            instructions=instructions.strip() or INSTRUCTIONS[kind],
            consent=consent.strip() or CONSENT,
            trials_each=trials_each,
            ratings_wanted=ratings_wanted,
            golds_each=golds_each,
            traps_each=traps_each,
            headphones=headphones,
            link_completed=link_completed,
            link_screened=link_screened,
            link_full=link_full,
            seed=chosen,
        )
        session.add(study)
        log(session, user, "made study", name, kind=kind, seed=chosen)
    return RedirectResponse(f"/rate/studies/{study.slug}", 303)


@router.get("/{slug}")
def manage(request: Request, slug: Slug, user: Administrator) -> Response:
    """One study: what is in it, how far it is, and what can be done with it."""
    study = _study(request, slug)
    database = request.app.state.database
    clips = clips_of(database, study)
    with database.reading() as session:
        stimuli = session.scalars(select(Stimulus).where(Stimulus.study_id == study.id)).all()
        counts = given(session, study)
        rows = session.execute(
            select(Listener.state, func.count()).where(Listener.study_id == study.id).group_by(Listener.state)
        )
        listeners = {row[0]: row[1] for row in rows}
    to_rate = [each for each in stimuli if each.role == "rate"]
    details = {
        "items": len({clip.item for clip in clips}),
        "systems": sorted({clip.system for clip in clips if clip.role == "estimate"}),
        "references": sum(clip.role == "reference" for clip in clips),
        "stimuli": len(to_rate),
        "golds": sum(each.role == "gold" for each in stimuli),
        "traps": sum(each.role == "trap" for each in stimuli),
        "given": sum(min(counts.get(each.id, 0), study.ratings_wanted) for each in to_rate),
        "wanted": len(to_rate) * study.ratings_wanted,
        "seconds": sum(clip.seconds for clip in clips),
    }
    site = request.app.state.settings.address
    links = (
        f"{site}/rate/{study.slug}",
        f"{site}/rate/{study.slug}?PROLIFIC_PID={{{{%PROLIFIC_PID%}}}}&STUDY_ID={{{{%STUDY_ID%}}}}"
        f"&SESSION_ID={{{{%SESSION_ID%}}}}",
    )
    return page(
        request,
        "rate/study.html",
        study=study,
        told=details,
        listeners=listeners,
        links=links,
        kind=KINDS[study.kind],
    )


@router.post("/{slug}/edit")
def edit(
    request: Request,
    slug: Slug,
    user: Administrator,
    trials_each: Annotated[int, Form(ge=1, le=500)],
    ratings_wanted: Annotated[int, Form(ge=1, le=10000)],
    link_completed: Link = "",
    link_screened: Link = "",
    link_full: Link = "",
    instructions: Annotated[str, Form(max_length=10_000, pattern=Words)] = "",
    consent: Annotated[str, Form(max_length=10_000, pattern=Words)] = "",
) -> Response:
    """Change links and counts; what listeners read and agree to, in a draft only."""
    study = _study(request, slug)
    changes = {
        "trials_each": trials_each,
        "ratings_wanted": ratings_wanted,
        "link_completed": link_completed,
        "link_screened": link_screened,
        "link_full": link_full,
    }
    with request.app.state.database.writing() as session:
        held = session.get_one(Study, study.id, with_for_update=True)
        if held.state == "draft":
            changes |= {"instructions": instructions.strip() or INSTRUCTIONS[study.kind]}
            changes |= {"consent": consent.strip() or CONSENT}
        changed = {name: value for name, value in changes.items() if getattr(held, name) != value}
        for name, value in changed.items():
            setattr(held, name, value)
        log(session, user, "changed study", study.name, **changed)
    return RedirectResponse(f"/rate/studies/{slug}", 303)


@router.post("/{slug}/fill")
def fill_study(
    request: Request, slug: Slug, user: Administrator, visit: Visitor, what: Archive
) -> dict[str, Any]:
    """Take the next recordings of an uploaded archive into a draft; called again until ``done`` is ``total``."""
    study = _study(request, slug)
    state = request.app.state
    if study.state != "draft":
        raise HTTPException(409, "Only a draft can be filled: what people rate must not change.")
    with state.database.reading() as session:
        upload = session.get(Upload, what.upload)
    if upload is None or upload.visit_id != visit.id or upload.purpose != "archive" or upload.key is None:
        raise HTTPException(404, "There is no such upload.")
    folder = unpacked(state.storage, state.settings, upload.id, upload.key)
    try:
        progress = fill(state.database, state.storage, state.settings, study, folder)
    except IntegrityError:
        raise HTTPException(409, "Somebody else is filling this study at this moment: try again.") from None
    if progress.done == progress.total:
        with state.database.writing() as session:
            log(session, user, "filled study", study.name, archive=upload.name, groups=progress.total)
            doom(session, [upload.key])
            session.execute(delete(Upload).where(Upload.id == upload.id))
    return {"done": progress.done, "total": progress.total, "left_out": progress.left_out[:20]}


@router.post("/{slug}/state")
def change_state(
    request: Request, slug: Slug, user: Administrator, state: Annotated[Literal["open", "closed"], Form()]
) -> Response:
    """Open a study, or close it; what administrators voted in a draft is deleted when it opens."""
    study = _study(request, slug)
    with request.app.state.database.writing() as session:
        held = session.get_one(Study, study.id, with_for_update=True)
        if held.state == "draft" and state == "closed":
            raise HTTPException(409, "A draft is not open.")
        if session.scalar(select(Stimulus.id).where(Stimulus.study_id == study.id).limit(1)) is None:
            raise HTTPException(409, "There is nothing to listen to in this study yet.")
        if held.state == "draft":
            session.execute(delete(Listener).where(Listener.study_id == study.id))
        held.state = state
        log(session, user, "opened study" if state == "open" else "closed study", study.name)
    return RedirectResponse(f"/rate/studies/{slug}", 303)


@router.post("/{slug}/delete")
def remove(
    request: Request, slug: Slug, user: Administrator, name: Annotated[str, Form(max_length=200)]
) -> Response:
    """Delete a study with its recordings and votes; its name must be typed."""
    study = _study(request, slug)
    if name.strip() != study.name.strip():
        raise HTTPException(422, "That is not the name of this study: nothing was deleted.")
    with request.app.state.database.writing() as session:
        votes = session.scalar(
            select(func.count()).where(Trial.listener_id == Listener.id, Listener.study_id == study.id)
        )
        delete_study(session, session.get_one(Study, study.id))
        log(session, user, "deleted study", study.name, trials=votes)
    return RedirectResponse("/rate/studies", 303)


@router.post("/{slug}/score")
def score(request: Request, slug: Slug, user: Administrator) -> Response:
    """Ask for blind scores of all separations."""
    study = _study(request, slug)
    asked = ask_for_scores(request.app.state.database, study)
    if asked:
        with request.app.state.database.writing() as session:
            log(session, user, "asked for blind scores", study.name, separations=asked)
    return RedirectResponse(f"/rate/studies/{slug}/results#blind", 303)


@router.get("/{slug}/results")
def results(request: Request, slug: Slug, user: Administrator) -> Response:
    """The results page."""
    study = _study(request, slug)
    database = request.app.state.database
    scores = collect_scores(database, study)
    result = summary(database, study)
    points = [each for each in result["points"] if each["blind_db"] is not None]
    y_range = (0, 100) if study.kind == "mushra" else (1, 5)
    picture = scatter(points, y_range, "blind score, dB", "mean opinion", SCATTER_NAME) if points else ""
    systems = sorted({each["system"] for each in points})
    legend = [(system, f"{mark(k, 8, 8)}</g>") for k, system in enumerate(systems)]
    shown = {"scores": scores, "picture": picture, "legend": legend, "kind": KINDS[study.kind]}
    return page(request, "rate/results.html", study=study, found=result, **shown)


@router.get("/{slug}/results.json")
def results_json(request: Request, slug: Slug, user: Administrator) -> dict[str, Any]:
    """The numbers of the results page."""
    study = _study(request, slug)
    result = summary(request.app.state.database, study)
    plain = {name: [each.to_dict() for each in result[name]] for name in ("opinions", "preferences")}
    correlation = result["correlation"].to_dict() if result["correlation"] else None
    kept = ("listeners", "kept", "left_out", "votes", "counted", "outliers", "points")
    about = {"study": study.slug, "name": study.name, "kind": study.kind, "seed": study.seed}
    return about | plain | {"correlation": correlation} | {name: result[name] for name in kept}


@router.get("/{slug}/votes.csv")
def votes_csv(request: Request, slug: Slug, user: Administrator) -> Response:
    """Every vote, for spreadsheets."""
    study = _study(request, slug)
    text = as_csv(raw_votes(request.app.state.database, study))
    return Response(text, media_type="text/csv; charset=utf-8", headers=_saved(f"{slug}.csv"))


@router.get("/{slug}/votes.json")
def votes_json(request: Request, slug: Slug, user: Administrator) -> Response:
    """Every vote, for programs."""
    rows = raw_votes(request.app.state.database, _study(request, slug))
    return Response(json.dumps(rows), media_type="application/json", headers=_saved(f"{slug}.json"))


def _study(request: Request, slug: str) -> Study:
    with request.app.state.database.reading() as session:
        study = session.scalar(select(Study).where(Study.slug == slug))
    if study is None:
        raise HTTPException(404, "There is no such study.")
    return study


def _saved(name: str) -> dict[str, str]:
    return {"content-disposition": f'attachment; filename="{name}"'}
