"""A fleet that has something to show: workers of three kinds in two zones, one of them ill, and tasks of a few types and
tenants that come all the time. Real processes; the programs only sleep."""
import json
import os
import pathlib
import random
import threading
import urllib.request

WORK = """#!/bin/sh
# Sleeps so many seconds; on an ill machine five times.
sleep "$1"
[ -z "$NEXUS_DEMO_ILL" ] || { sleep "$1"; sleep "$1"; sleep "$1"; sleep "$1"; }
[ -z "$2" ] || { echo "$2" >&2; exit 1; }
"""
# Type: seconds, spread, weight, tenant, queue. Names as they might be anywhere.
TYPES = {"render-4k": (4.0, .12, 5, "studio", "video"), "transcode": (7.0, .15, 3, "studio", "video"), "thumb": (.4, .1, 14, "acme", "images"),
         "ocr-page": (1.6, .2, 8, "acme", "images"), "train-lora": (14.0, .1, 1, "lab", "default"), "pdf-report": (2.4, .25, 5, "nova", "default"),
         "sync-crm": (2.0, .9, 3, "nova", "default"), "embed-text": (.8, .12, 8, "lab", "default")}
KINDS = ("c6", "c7", "gpu")
ILL = "gpu-a-002"


class Demo:
    def __init__(self, house, seed=7):
        self.house = house
        self.random = random.Random(seed)
        self.work = pathlib.Path(house.folder) / "work"
        self.work.write_text(WORK)
        self.work.chmod(0o755)
        self.stop = threading.Event()
        self.drift = 1.0  # of render-4k
        self.thread = threading.Thread(target=self.submit_all, daemon=True)

    def worker(self, name, *flags, slots=4, ill=False):
        if ill:
            os.environ["NEXUS_DEMO_ILL"] = "1"
        self.house.start_worker(name, "--allow-env", "PATH", "NEXUS_DEMO_ILL", *flags, slots=slots)
        os.environ.pop("NEXUS_DEMO_ILL", None)

    def workers(self, each=3):
        for kind in KINDS:
            for zone in "ab":
                for n in range(1, each + 1):
                    name = f"{kind}-{zone}-{n:03}"
                    self.worker(name, "--label", f"hw={kind}", "--label", f"zone={zone}", ill=name == ILL)
        self.house.worker_ready(each * 2 * len(KINDS))

    def post(self, path, body, verb="POST"):
        request = urllib.request.Request(f"http://{self.house.http}/v1/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}, method=verb)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def task(self, kind=None, seconds=None, **more):
        """Submits one; returns its id."""
        names = list(TYPES)
        kind = kind or self.random.choices(names, [TYPES[name][2] for name in names])[0]
        mean, spread, _, tenant, queue = TYPES[kind]
        drift = self.drift if kind == "render-4k" else 1.0
        seconds = seconds or mean * drift * self.random.lognormvariate(0, spread)
        argv = [str(self.work), f"{seconds:.3f}"]
        if kind == "pdf-report" and self.random.random() < .04:
            argv.append("page 7: the font is missing")
        return self.post("tasks", {"type": kind, "tenant": tenant, "queue": queue, "metadata": {"handler": "exec", "source": "demo"},
                                   "payload_text": json.dumps({"argv": argv, "cwd": str(self.house.folder)}),
                                   "retry": {"attempts_max": 2, "backoff_first_us": "1000000"}, **more})["id"]

    def begin(self, per_second=24.0):
        self.per_second = per_second
        self.thread.start()

    def submit_all(self):
        while not self.stop.wait(self.random.expovariate(self.per_second)):
            self.task()

    def end(self):
        self.stop.set()
        self.thread.join()
