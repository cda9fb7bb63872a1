"""The contributors of ``web.py``, in a process of their own: each is a browser with one recording.

    python -m benchmarks.site._contributors ADDRESS COUNT

They go on after whatever happens to the server, print a line for each piece and each end, and what became of it all.
"""

import asyncio
import hashlib
import json
import re
import sys
import time

import httpx
import numpy as np

SECONDS, RATE, PIECE = 10.0, 48000, 1 << 18
BUSY = (429, 502, 503, 504, 507)
CALLS = ("page", "begin", "piece", "state", "finish", "lost connections")


def recording(seed: int) -> bytes:
    """WAV of noise at the level of speech."""
    samples = 0.05 * np.random.default_rng(seed).standard_normal(round(SECONDS * RATE))
    data = np.round(32767 * samples.clip(-1, 1)).astype("<i2").tobytes()
    head = b"RIFF" + (36 + len(data)).to_bytes(4, "little") + b"WAVEfmt " + (16).to_bytes(4, "little")
    head += b"\1\0\1\0" + RATE.to_bytes(4, "little") + (2 * RATE).to_bytes(4, "little") + b"\2\0\x10\0"
    return head + b"data" + len(data).to_bytes(4, "little") + data


class Contributor:
    """From the first page to a finished upload."""

    def __init__(self, number: int, address: str, told: dict[str, list[float]]) -> None:
        forwarded = {"x-forwarded-for": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"}
        limits = httpx.Limits(max_connections=1)
        self.client = httpx.AsyncClient(base_url=address, headers=forwarded, timeout=300, limits=limits)
        self.content, self.told = recording(number), told
        self.acknowledged = self.lost = 0

    async def call(self, name: str, method: str, path: str, **options) -> httpx.Response:
        """Until the server answers with something else than that it is busy."""
        for turn in range(200):
            begun = time.monotonic()
            try:
                answer = await self.client.request(method, path, **options)
            except httpx.TransportError:
                self.told["lost connections"].append(begun)
            else:
                if answer.status_code not in BUSY:
                    self.told[name].append(time.monotonic() - begun)
                    return answer
            await asyncio.sleep(min(2.0, 0.1 * 1.3**turn))
        raise RuntimeError(f"{method} {path} was never answered")

    async def run(self) -> dict:
        page = await self.call("page", "GET", "/", headers={"accept": "text/html"})
        found = re.search(r'name="csrf" content="([^"]+)"', page.text)
        assert found
        self.client.headers["x-csrf-token"] = found[1]
        new = {"name": "a.wav", "bytes": len(self.content), "purpose": "collect"}
        key = (await self.call("begin", "POST", "/api/uploads", json=new)).json()["id"]
        while (start := self.acknowledged) < len(self.content):
            piece = self.content[start : start + PIECE]
            answer = await self.call("piece", "PUT", f"/api/uploads/{key}?offset={start}", content=piece)
            if answer.status_code == 409:  # the answer to this piece was lost
                answer = await self.call("state", "GET", f"/api/uploads/{key}")
            received = answer.raise_for_status().json()["received"]
            self.lost += received < self.acknowledged
            self.acknowledged = received
            print("piece", flush=True)
        digest = hashlib.sha256(self.content).hexdigest()
        answer = await self.call("finish", "POST", f"/api/uploads/{key}/finish", json={"sha256": digest})
        print("finish", flush=True)
        await self.client.aclose()
        state = answer.raise_for_status().json()["state"]
        return {"key": key, "sha256": digest, "state": state, "lost": self.lost}


async def contribute(address: str, count: int) -> dict:
    """All at once."""
    told: dict[str, list[float]] = {name: [] for name in CALLS}
    everybody = [Contributor(number, address, told) for number in range(count)]
    begun = time.monotonic()
    found = await asyncio.gather(*(each.run() for each in everybody))
    return {"seconds": time.monotonic() - begun, "uploads": found, "latencies": told}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(contribute(sys.argv[1], int(sys.argv[2])))))
