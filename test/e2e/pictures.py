#!/usr/bin/env python3
"""Makes the pictures of docs/img from a server with real load: NEXUS=build/release/src/nexus test/e2e/pictures.py [folder].
Each page at 1440 px in both themes, the overview at 360 px, and a short walk through the page as one moving picture. All are
WebP as the browser writes it; a moving WebP is a few stills behind a header (RFC 9649), so no encoder is needed."""
import base64
import os
import pathlib
import struct
import sys
import time

os.environ.setdefault("NEXUS", str(pathlib.Path(__file__).resolve().parents[2] / "build/release/src/nexus"))

from browser import Browser
from demo import ILL, Demo
from harness import House, wait_until

QUALITY = 72
LEARN_S = 80   # until the types are learned, the slow worker's breaker is open and the charts have a past
CHANGE_S = 25   # after render-4k has become slower
BURST = 600     # tasks at once, so that something waits
FRAME_MS = 1700


def still(browser, width, height):
    """What is seen, as the bytes of a WebP."""
    browser.size(width, height)
    time.sleep(.5)
    told = browser.call("POST", browser.session + "/goog/cdp/execute", {"cmd": "Page.captureScreenshot", "params": {"format": "webp", "quality": QUALITY}})
    return base64.b64decode(told["data"])


def chunk(name, data):
    return name + struct.pack("<I", len(data)) + data + (b"\0" if len(data) % 2 else b"")


def picture_of(webp):
    """The chunks of a still that hold its picture, whole."""
    found, at = b"", 12
    while at < len(webp):
        size = struct.unpack_from("<I", webp, at + 4)[0]
        if webp[at:at + 4] in (b"VP8 ", b"VP8L", b"ALPH"):
            found += chunk(webp[at:at + 4], webp[at + 8:at + 8 + size])
        at += 8 + size + size % 2
    return found


def moving(stills, width, height):
    """One WebP that shows the stills one after another, for ever."""
    u24 = lambda value: struct.pack("<I", value)[:3]
    frames = b"".join(chunk(b"ANMF", u24(0) + u24(0) + u24(width - 1) + u24(height - 1) + u24(FRAME_MS) + b"\x02" + picture_of(each)) for each in stills)
    body = b"WEBP" + chunk(b"VP8X", b"\x02\0\0\0" + u24(width - 1) + u24(height - 1)) + chunk(b"ANIM", struct.pack("<IH", 0xFFFFFFFF, 0)) + frames
    return b"RIFF" + struct.pack("<I", len(body)) + body


def shown(browser, url, text):
    browser.open(url)
    wait_until(f"{url} shows {text}", lambda: text in browser.text(), 30)
    wait_until("nothing is still being loaded", lambda: not browser.script("return Boolean(document.querySelector('main .skel'))"), 30)
    time.sleep(1.5)


def walk(browser, base, stuck):
    """From what needs somebody to the reason and to the act: what a newcomer presses."""
    width, height = 1200, 750
    browser.size(width, height)
    shots = []
    shown(browser, base, "Tasks waiting")
    shots.append(still(browser, width, height))
    for text, within, seen in (("Open worker", "main", "What it is"), ("Fleet", ".side", "How fast are they?"), ("Speed", "main", "How fast are they?"), ("Types", ".side", "How long runs take"),
                               ("Decisions", ".side", "Round-robin")):
        wait_until(f"there is {text}", lambda: browser.click(text, within), 30)
        wait_until(f"it shows {seen}", lambda: seen in browser.text(), 30)
        time.sleep(1.5)
        shots.append(still(browser, width, height))
    shown(browser, f"{base}tasks/{stuck}", "Why it waits")
    shots.append(still(browser, width, height))
    shown(browser, f"{base}workers/{ILL}", "What it is")
    browser.click("Drain…")
    wait_until("it asks for a reason", lambda: browser.fill("[name=reason]", "slow disk, see ticket 4711"), 30)
    shots.append(still(browser, width, height))
    return moving(shots, width, height)


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parents[2] / "docs/img")
    with House() as house:
        house.start_server()
        demo = Demo(house)
        demo.workers()
        demo.begin()
        stuck = demo.task("train-lora", labels_required={"zone": "d"})
        base = f"http://{house.http}/"
        browser = Browser(house)
        browser.size(1440, 900)
        browser.open(base)  # it keeps its own past where the server keeps none
        time.sleep(LEARN_S)
        demo.drift = 2.0
        time.sleep(CHANGE_S)
        for _ in range(BURST):
            demo.task("render-4k")
        wait_until("the queue gets shorter", lambda: "Work is catching up" in browser.text(), 150)
        running = ""
        pages = (("overview", "?range=5m", "Tasks waiting"), ("fleet", "fleet?color=used", "How fast are they?"), ("worker", f"workers/{ILL}", "What it is"), ("tasks", "tasks", "render-4k"),
                 ("task", "tasks/{running}", "Why that long?"), ("task-waiting", f"tasks/{stuck}", "Why it waits"), ("types", "types/render-4k", "How long runs take"),
                 ("queues", "queues", "video"), ("decisions", "decisions", "Round-robin"), ("config", "config", "scheduler.lease"), ("status", "status", "Journal position"))
        for name, path, text in pages:
            for theme in ("light", "dark"):
                if "{running}" in path:
                    running = running or demo.task("train-lora", 40, priority=9)
                    wait_until("it runs", lambda: house.json("task", "get", running)["state"] == "TASK_STATE_RUNNING", 60)
                    path = path.format(running=running)
                # What was opened first keeps its charts: the overview is not loaded anew.
                if name == "overview":
                    browser.script("document.querySelector('[aria-label=\"Light or dark\"]').click()") if theme == "dark" else None
                    wait_until("it is there", lambda: text in browser.text(), 30)
                    time.sleep(1)
                else:
                    shown(browser, f"{base}{path}{'&' if '?' in path else '?'}theme={theme}", text)
                (folder / f"page-{name}-{theme}.webp").write_bytes(still(browser, 1440, 900))
            if name == "overview":
                browser.script("document.querySelector('[aria-label=\"Light or dark\"]').click()")
                (folder / "page-overview-360.webp").write_bytes(still(browser, 360, 780))
                (folder / "page-walk.webp").write_bytes(walk(browser, base, stuck))
                browser.size(1440, 900)
        demo.end()
        browser.close()
    for each in sorted(folder.glob("page-*.webp")):
        print(f"{each.stat().st_size:8,} {each.name}")


if __name__ == "__main__":
    main()
