"""What became of the uploads and jobs of ``web.py``."""

import hashlib
from pathlib import Path

import numpy as np
import soundfile
from sqlalchemy import select

from benchmarks.site._contributors import RATE, SECONDS, recording
from benchmarks.site._jobs import opened
from unbabble.web.tables.jobs import Job
from unbabble.web.tables.uploads import Upload

PERCENTILES = (50, 95, 99)


def uploads_judged(told: dict, data: Path, url: str, count: int) -> dict:
    """What is lost, how fast it was."""
    whole = 0
    with opened(url) as database, database.reading() as session:
        for each in told["uploads"]:
            upload = session.get(Upload, each["key"])
            if upload is not None and upload.state == each["state"] == "stored":
                content = (data / "recordings" / str(upload.key)).read_bytes()
                frames = soundfile.info(data / "recordings" / str(upload.heard_key)).frames
                same = hashlib.sha256(content).hexdigest() == each["sha256"]
                whole += same and frames == round(SECONDS * RATE)
    calls = {name: told["latencies"][name] for name in ("page", "begin", "piece", "finish")}
    return {
        "seconds": told["seconds"],
        "recordings_per_second": count / told["seconds"],
        "megabytes_per_second": len(recording(0)) * count / told["seconds"] / 1e6,
        "accepted": len(told["uploads"]),
        "lost_uploads": len(told["uploads"]) - whole,
        "lost_pieces": sum(each["lost"] for each in told["uploads"]),
        "lost_connections": len(told["latencies"]["lost connections"]),
        "latency_seconds": {
            name: {f"p{p}": float(np.percentile(values, p)) for p in PERCENTILES} | {"count": len(values)}
            for name, values in calls.items()
            if values
        },
    }


def jobs_judged(data: Path, url: str) -> dict:
    """How many have left one result, and whether anything else lies about."""
    with opened(url) as database, database.reading() as session:
        jobs = session.scalars(select(Job)).all()
    folder, once = data / "recordings", 0
    for job in jobs:
        files = {path.relative_to(folder).as_posix() for path in folder.glob(f"jobs/*/{job.id}/*/*")}
        visible = [each["key"] for each in job.outputs]
        once += job.state == "done" and len(visible) == 2 and set(visible) <= files
    again = sum(job.attempts > 1 for job in jobs)
    return {"jobs": len(jobs), "jobs_finished_once": once, "jobs_tried_again": again}
