#!/usr/bin/env python3
"""What an open page costs, and how smooth it is: a fleet of many workers under steady load, the page in Chromium, and many
event streams at once. `make page-load MINUTES=30`; NEXUS and NEXUS_LOAD name the programs. It prints a table and asserts
nothing: the load of the machine is beside the figures."""
import argparse
import contextlib
import json
import os
import socket
import statistics
import threading
import time
import urllib.request

from browser import Browser
from harness import House, wait_until

RUN_US = 1_500_000  # of each task
PAGES = {"overview": "", "fleet": "fleet"}
TOPICS = {"overview": "status,attention,queues,types,tenants,series", "fleet": "status,attention,fleet"}
# Frames, by the time between two of them, and tasks of the page that block it.
WATCH = """
window.watched = {frames: [], long: 0};
new PerformanceObserver((list) => (window.watched.long += list.getEntries().length)).observe({type: 'longtask'});
let before = 0;
const each = (now) => { if (before) window.watched.frames.push(now - before); before = now; requestAnimationFrame(each); };
requestAnimationFrame(each);
"""
LATE_MS = 17.5  # a frame of 60 a second takes 16.7 ms; what is later missed its turn


class Stream(threading.Thread):
    """Reads topics of the live stream as fast as they come, and counts."""

    def __init__(self, address, topics):
        super().__init__(daemon=True)
        host, port = address.split(":")
        self.bytes = 0
        self.link = socket.create_connection((host, int(port)))
        self.link.sendall(f"GET /v1/live?topics={topics} HTTP/1.1\r\nHost: {address}\r\n\r\n".encode())
        self.start()

    def run(self):
        with contextlib.suppress(OSError):
            while part := self.link.recv(1 << 18):
                self.bytes += len(part)

    def close(self):
        with contextlib.suppress(OSError):
            self.link.shutdown(socket.SHUT_RDWR)
        self.link.close()


def cpu_s(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Span:
    """The processor time of the server, and the tasks that ended, between two moments."""

    def __init__(self, house):
        self.house, self.began, self.cpu, self.ended = house, time.monotonic(), cpu_s(house.server.pid), self.tasks(house)

    @staticmethod
    def tasks(house):
        with urllib.request.urlopen(f"http://{house.http}/v1/status", timeout=60) as answer:
            return int(json.load(answer)["succeeded"])

    def end(self):
        took = time.monotonic() - self.began
        return 100 * (cpu_s(self.house.server.pid) - self.cpu) / took, (self.tasks(self.house) - self.ended) / took


def heap(browser):
    call = lambda cmd: browser.call("POST", browser.session + "/goog/cdp/execute", {"cmd": cmd, "params": {}})
    call("HeapProfiler.collectGarbage")
    return call("Runtime.getHeapUsage")["usedSize"] / 1e6


def first_load(browser, url):
    """Bytes as they came, and milliseconds until the page shows what is now."""
    browser.open("about:blank")
    browser.open(url)
    wait_until("it shows what is now", lambda: "Running" in browser.text(), 60)
    wait_until("it was seen", lambda: browser.script("return window.usableAt ?? 0"), 60)
    return browser.script("""
        const all = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')].filter((e) => !/\\/v1\\/|readyz/.test(e.name));
        return [all.reduce((sum, e) => sum + e.encodedBodySize, 0), window.usableAt];""")


# Before anything of the page runs: when its numbers are there.
USABLE = """
new MutationObserver((_, own) => {
  if (document.querySelector('main h1') && document.querySelector('main .strip')) { window.usableAt = performance.now(); own.disconnect(); }
}).observe(document, {childList: true, subtree: true});
"""


def first_loads(house, when):
    """Of a browser that has nothing yet, three times."""
    with contextlib.closing(Browser(house)) as browser:
        command = lambda cmd, **params: browser.call("POST", browser.session + "/goog/cdp/execute", {"cmd": cmd, "params": params})
        command("Page.addScriptToEvaluateOnNewDocument", source=USABLE)
        loads = []
        for _ in range(3):
            command("Network.clearBrowserCache")
            loads.append(first_load(browser, f"http://{house.http}/"))
    return [("first load, compressed" + when, f"{max(size for size, _ in loads) / 1024:.0f} KiB", "<= 150 KiB"),
            ("until usable, median of 3" + when, f"{statistics.median(at for _, at in loads):.0f} ms", "< 1000 ms")]


def page_span(house, browser, name, seconds):
    """The page open for so long: CPU of the server, heap each tenth of it, frames, long tasks."""
    browser.open(f"http://{house.http}/{PAGES[name]}")
    wait_until(f"{name} is there", lambda: browser.script("return document.querySelector('main h1') !== null && !document.querySelector('main .skel')"), 60)
    browser.evaluate(WATCH + ";0")
    heaps, span = [heap(browser)], Span(house)
    for _ in range(10):
        time.sleep(seconds / 10)
        heaps.append(heap(browser))
    cpu, _ = span.end()
    frames, long = browser.script("return [window.watched.frames, window.watched.long]")
    on_time = sum(each < LATE_MS for each in frames) / max(1, len(frames))
    return cpu, heaps, on_time, len(frames), long


def measure(args):
    rows = []
    seconds = args.minutes * 60
    with House() as house:
        house.start_server()
        house.load("work", "fleet", "--name", "load", "--slots", 4, "--copies", args.workers)
        wait_until(f"{args.workers} workers", lambda: int(house.status().get("workers_ready", 0)) == args.workers, 300)
        rows += first_loads(house, ", at rest")
        lasts = seconds + 300
        house.load("submit", "client", "--count", int(args.rate * lasts), "--rate", args.rate, "--threads", 8, "--batch", 10, "--run-us", RUN_US)
        time.sleep(5 + 2 * RUN_US / 1e6)
        quiet = max(10, seconds / 6)
        span = Span(house)
        time.sleep(quiet)
        base, rate = span.end()
        rows.append(("tasks that ended, each second", f"{rate:,.0f} (asked for {args.rate:,})", ""))
        rows.append(("server without a page", f"{base:.1f} % of a core", ""))
        for name, topics in TOPICS.items():
            stream = Stream(house.http, topics)
            time.sleep(3)  # the first, whole frames are not what it costs
            before = stream.bytes
            time.sleep(quiet)
            rows.append((f"stream of the page: {name}", f"{(stream.bytes - before) / quiet / 1e3:.1f} kB/s", "<= 10 kB/s" if name == "fleet" else ""))
            stream.close()
        stream = Stream(house.http, "fleet")
        time.sleep(3)
        before = stream.bytes
        time.sleep(quiet)
        rows.append(("fleet stream alone", f"{(stream.bytes - before) / quiet / 1e3:.1f} kB/s", "<= 10 kB/s"))
        stream.close()
        rows += first_loads(house, ", under load")
        with contextlib.closing(Browser(house)) as browser:
            for name in PAGES:
                cpu, heaps, on_time, frames, long = page_span(house, browser, name, seconds / len(PAGES))
                half = len(heaps) // 2
                rows.append((f"server with {name} open", f"{cpu:.1f} % of a core: {cpu - base:+.1f}", "< +5"))
                rows.append((f"heap of {name}", f"{min(heaps):.1f} to {max(heaps):.1f} MB; halves {statistics.mean(heaps[:half]):.1f}, {statistics.mean(heaps[half:]):.1f}", "stable"))
                rows.append((f"frames of {name} on time", f"{100 * on_time:.1f} % of {frames}; {long} tasks > 50 ms", ">= 95 %"))
        streams = [Stream(house.http, TOPICS["fleet" if n % 2 else "overview"]) for n in range(args.streams)]
        time.sleep(3)
        span, before = Span(house), sum(each.bytes for each in streams)
        time.sleep(quiet)
        cpu, rate = span.end()
        told = sum(each.bytes for each in streams) - before
        alive = sum(each.is_alive() for each in streams)
        rows.append((f"server with {args.streams} pages", f"{cpu:.1f} % of a core: {cpu - base:+.1f}; {alive} alive, {told / quiet / 1e3:.0f} kB/s, {rate:,.0f} tasks/s", ""))
        for each in streams:
            each.close()
    width = max(len(name) for name, _, _ in rows)
    print(f"{args.workers} workers, {args.rate} tasks/s of {RUN_US / 1e6:g} s, {args.minutes:g} min; {os.cpu_count()} processors, load {' '.join(f'{each:.1f}' for each in os.getloadavg())}")
    for name, value, wanted in rows:
        print(f"{name:<{width}}  {value}{f'   [{wanted}]' if wanted else ''}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("minutes", type=float, nargs="?", default=30)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--rate", type=int, default=1000)
    parser.add_argument("--streams", type=int, default=50)
    measure(parser.parse_args())
