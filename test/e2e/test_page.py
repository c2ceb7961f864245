"""The page in a real browser: it connects, and shows the worker, a running task and one that nobody can run."""
import contextlib
import json
import re
import shutil
import subprocess
import unittest
import urllib.request

from harness import House, wait_until


class Browser:
    """Chromium without a window, driven over WebDriver (W3C)."""

    def __init__(self, house):
        with open(house.folder / "browser.log", "w") as log:
            self.driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=log, text=True)
        house.processes.append(self.driver)
        self.base, self.session = None, None
        for line in self.driver.stdout:
            found = re.search(r"started successfully on port (\d+)", line)
            if found:
                self.base = f"http://127.0.0.1:{found[1]}"
                break
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={house.folder}/browser"]
        made = self.call("POST", "/session", {"capabilities": {"alwaysMatch": {"goog:chromeOptions": {"args": flags},
                                                                               "goog:loggingPrefs": {"browser": "ALL"}}}})
        self.session = f"/session/{made['sessionId']}"

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data=data, method=method, headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def open(self, url):
        self.call("POST", self.session + "/url", {"url": url})

    def text(self):
        return self.call("POST", self.session + "/execute/sync", {"script": "return document.body.innerText", "args": []})

    def complaints(self):
        return [entry["message"] for entry in self.call("POST", self.session + "/se/log", {"type": "browser"}) if entry["level"] == "SEVERE"]

    def close(self):
        self.call("DELETE", self.session)


class Page(unittest.TestCase):
    def test_the_page_shows_what_goes_on(self):
        self.assertTrue(shutil.which("chromedriver"), "chromedriver is missing: TOOLS=test tools/setup.sh installs it")
        with House() as house:
            house.start_server()
            house.start_worker("page-worker", slots=2)
            wait_until("the worker is there", lambda: int(house.status().get("workers_ready", 0)) == 1)
            running = house.submit_exec("sleep", "60", flags=("--type", "page-running"))
            house.submit_exec("true", flags=("--type", "page-stuck", "--require", "zone=nowhere"))
            wait_until("it runs", lambda: house.json("task", "get", running)["state"] == "TASK_STATE_RUNNING")
            with contextlib.closing(Browser(house)) as browser:
                browser.open(f"http://{house.http}/")
                for expected in ("live", "page-worker", "page-running", "page-stuck", "zone=nowhere: none of 1 worker has it"):
                    wait_until(f"the page shows {expected}", lambda: expected in browser.text(), 20)
                self.assertNotIn("No worker has connected yet", browser.text())
                house.run("task", "cancel", running)
                wait_until("the cancelled task leaves the page", lambda: "page-running" not in browser.text(), 20)
                self.assertEqual([c for c in browser.complaints() if "favicon" not in c], [], "the page's scripts complain")


if __name__ == "__main__":
    unittest.main(verbosity=2)
