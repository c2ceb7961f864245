"""Chromium without a window, driven over WebDriver (W3C) and, where that says too little, its devtools."""
import json
import re
import subprocess
import urllib.request

# What a person could press: in the open dialog when there is one.
CLICK = """
const [wanted, within] = arguments;
const place = document.querySelector('dialog[open]') || document.querySelector(within) || document.body;
const all = [...place.querySelectorAll('a, button, tr.link')];
const found = all.find((e) => e.innerText.trim() === wanted && !e.disabled) || all.find((e) => e.innerText.includes(wanted) && !e.disabled);
if (found) found.click();
return Boolean(found);
"""
FILL = """
const [selector, text] = arguments;
const field = document.querySelector('dialog[open] ' + selector) || document.querySelector(selector);
if (!field) return false;
field.focus();
field.value = text;
field.dispatchEvent(new Event('input', {bubbles: true}));
field.dispatchEvent(new Event('change', {bubbles: true}));
return true;
"""


class Browser:
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
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={house.folder}/browser",
                 "--window-size=1440,1000", "--force-prefers-reduced-motion"]
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

    def script(self, text, *args):
        return self.call("POST", self.session + "/execute/sync", {"script": text, "args": list(args)})

    def evaluate(self, expression):
        """The value of an expression in the page, past its content security policy; promises are awaited."""
        told = self.call("POST", self.session + "/goog/cdp/execute", {"cmd": "Runtime.evaluate", "params": {
            "expression": expression, "awaitPromise": True, "returnByValue": True}})
        if "exceptionDetails" in told:
            raise AssertionError(told["exceptionDetails"])
        return told["result"].get("value")

    def size(self, width, height):
        self.call("POST", self.session + "/goog/cdp/execute", {"cmd": "Emulation.setDeviceMetricsOverride", "params": {
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}})

    def text(self):
        return self.script("return document.body.innerText")

    def click(self, text, within="main"):
        return self.script(CLICK, text, within)

    def fill(self, selector, text):
        return self.script(FILL, selector, text)

    def complaints(self):
        """What the console holds against the page. That a route is not offered is an answer."""
        return [entry["message"] for entry in self.call("POST", self.session + "/se/log", {"type": "browser"})
                if entry["level"] == "SEVERE" and not re.search(r"/v1/.* 40[45] ", entry["message"])]

    def close(self):
        self.call("DELETE", self.session)
