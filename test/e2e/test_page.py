"""The page in a real browser: it shows what goes on, every part of it is reached by its URL, a newcomer finds and changes
things, what others wrote stays text, and it says so when the server is gone."""
import contextlib
import gzip
import json
import pathlib
import re
import shutil
import subprocess
import unittest
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import threading

from browser import Browser
from demo import Demo
from harness import House, TimedOut, wait_until

WEB = pathlib.Path(__file__).resolve().parents[2] / "web"
# Behind a proxy that strips a path.
PREFIX = "/some/where"
HOSTILE = "<img src=x onerror=document.title='taken'>\u202egnp.exe\u0007 </script><script>1</script>"
STUCK = "zone=nowhere: none of 1 worker has it"


PROSE = ("description", "summary", "info")


def missing(part, whole, at=""):
    """What a description of the API has that another one has not, or has otherwise; prose apart."""
    if isinstance(part, dict) and isinstance(whole, dict):
        return [each for key, value in part.items() if key not in PROSE
                for each in (missing(value, whole[key], f"{at}/{key}") if key in whole else [f"{at}/{key}"])]
    if isinstance(part, list) and isinstance(whole, list):
        named = {each["name"]: each for each in whole if isinstance(each, dict) and "name" in each}
        return [each for value in part for each in (missing(value, named[value["name"]], f"{at}/{value['name']}")
                if isinstance(value, dict) and value.get("name") in named else [] if value in whole else [f"{at}: {value}"])]
    return [] if part == whole else [f"{at}: {part} is {whole}"]


class Stripping(BaseHTTPRequestHandler):
    """What a proxy does that serves the page at /some/where/: it takes that away, and passes the rest on."""
    target = ""

    def do_GET(self):
        if not self.path.startswith(PREFIX + "/"):
            self.send_error(404)
            return
        request = urllib.request.Request(f"http://{self.target}{self.path[len(PREFIX):]}", headers={"Accept": self.headers.get("Accept", "*/*")})
        with contextlib.suppress(OSError):
            try:
                answer = urllib.request.urlopen(request, timeout=60)
            except urllib.error.HTTPError as refused:
                answer = refused
            with answer:
                self.send_response(answer.status)
                for name in ("Content-Type", "Content-Security-Policy"):
                    if answer.headers[name]:
                        self.send_header(name, answer.headers[name])
                self.end_headers()
                while part := answer.read1(65536):
                    self.wfile.write(part)
                    self.wfile.flush()

    def log_message(self, *_):
        pass


class Page(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        assert shutil.which("chromedriver"), "chromedriver is missing: TOOLS=test tools/setup.sh installs it"
        cls.stack = contextlib.ExitStack()
        cls.house = cls.stack.enter_context(House())
        cls.house.start_server()
        cls.house.start_worker("page-worker", "--label", "zone=here", slots=2)
        cls.house.worker_ready(1)
        cls.running = cls.house.submit_exec("sleep", "300", flags=("--type", "page-running"))
        cls.stuck = cls.house.submit_exec("true", flags=("--type", "page-stuck", "--require", "zone=nowhere"))
        cls.house.submit_exec("true", flags=("--type", "page-quick", "--wait"))
        wait_until("it runs", lambda: cls.house.json("task", "get", cls.running)["state"] == "TASK_STATE_RUNNING")
        cls.browser = cls.stack.enter_context(contextlib.closing(Browser(cls.house)))

    @classmethod
    def tearDownClass(cls):
        cls.stack.close()

    def url(self, path):
        return f"http://{self.house.http}/{path}"

    def open(self, path, *expected):
        self.browser.open(self.url(path))
        self.shows(*expected)

    def shows(self, *expected):
        for each in expected:
            try:
                wait_until(f"the page shows {each}", lambda: each in self.browser.text(), 30)
            except TimedOut as missing:
                raise AssertionError(f"{missing}; it shows:\n{self.browser.text()[-1500:]}") from None

    def click(self, text, within="main"):
        wait_until(f"there is {text} to press", lambda: self.browser.click(text, within), 20)

    def no_complaints(self):
        self.assertEqual(self.browser.complaints(), [], "the page's scripts complain")

    def test_1_it_shows_what_goes_on(self):
        self.open("", "Live", "Running", "1 task cannot run on any connected worker", "of 2 slots")
        self.open("fleet", "Live", "page-worker", "page-running")
        self.open("tasks", "page-running", "page-stuck", "page-quick", STUCK)
        self.assertNotIn("No worker has connected yet", self.browser.text())
        other = self.house.submit_exec("sleep", "60", flags=("--type", "page-goes"))
        self.open("tasks?state=running", "page-goes")
        self.house.run("task", "cancel", other)
        wait_until("the cancelled task leaves the list", lambda: "page-goes" not in self.browser.script("return document.querySelector('.virtual')?.innerText ?? ''"), 20)
        self.no_complaints()

    def test_2_every_part_is_reached_by_its_address(self):
        for path, expected in (("workers/page-worker", "What it is"), ("workers/nobody", "No worker of that name"), (f"tasks/{self.running}", "Runs on page-worker"),
                               (f"tasks/{self.stuck}", STUCK), ("tasks/00000000-0000-7000-8000-00000000000a", "No task has this id"), ("types", "How long runs take"),
                               ("types/page-quick", "page-quick"), ("queues", "Queues"), ("queues/default", "Queue default"), ("tenants/default", "What waits and runs"),
                               ("decisions", "page-worker"), ("config", "scheduler.lease"), ("config?show=overrides", "Overrides"), ("config?show=versions", "ersions"),
                               ("audit", "Audit"), ("status", "Journal position"), (f"tasks?task={self.running}", "Close"), ("fleet?view=table&q=zone%3Dhere", "page-worker"),
                               ("fleet?q=zone%3Dnone", "Nothing matches"), ("?colour=red", "does not know “colour”"), ("nothing", "")):
            with self.subTest(path):
                if path == "nothing":
                    self.assertEqual(self.status_of("nothing"), 404)
                    continue
                self.open(path, expected)
                wait_until("it has its one h1", lambda: self.browser.script("return document.querySelectorAll('h1').length") == 1, 20)
        # Back and forward walk the states.
        self.open("", "Running")
        self.click("Types", ".side")
        self.shows("How long runs take")
        self.browser.script("history.back()")
        self.shows("Tasks waiting")
        self.no_complaints()

    def status_of(self, path, **headers):
        try:
            with urllib.request.urlopen(urllib.request.Request(self.url(path), headers=headers)) as answer:
                return answer.status
        except urllib.error.HTTPError as refused:
            return refused.code

    def test_3_its_files_are_packed_and_kept(self):
        with urllib.request.urlopen(self.url("tasks/some")) as answer:
            html = answer.read().decode()
            policy = answer.headers["Content-Security-Policy"]
        self.assertIn('<base href="../">', html)
        self.assertNotIn("unsafe", policy)
        name = re.search(r"assets/index-[\w-]+\.js", html)[0]
        with urllib.request.urlopen(urllib.request.Request(self.url(name), headers={"Accept-Encoding": "br, gzip"})) as answer:
            packed = answer.read()
            self.assertEqual(answer.headers["Content-Encoding"], "gzip")
            self.assertIn("immutable", answer.headers["Cache-Control"])
            etag = answer.headers["ETag"]
        with urllib.request.urlopen(self.url(name)) as answer:
            self.assertEqual(answer.read(), gzip.decompress(packed))
        self.assertEqual(self.status_of(name, **{"If-None-Match": etag}), 304)
        self.assertEqual(self.status_of("assets/none.js"), 404)
        # Nothing else is asked for than the server's own.
        self.open("", "Running")
        foreign = self.browser.script("return performance.getEntriesByType('resource').map((e) => e.name).filter((e) => !e.startsWith(location.origin))")
        self.assertEqual(foreign, [])

    def test_3b_the_server_has_what_its_types_were_made_from(self):
        committed = json.loads((WEB / "api/openapi.json").read_text())
        with urllib.request.urlopen(self.url("v1/openapi.json")) as answer:
            served = json.load(answer)
        self.assertEqual(missing(committed, served), [], "the page was made for another API; tools/page.sh api URL, then make its types fit")
        del served["components"]["schemas"]["Waiting"]["properties"]["culprit"]
        self.assertEqual(missing(committed, served), ["/components/schemas/Waiting/properties/culprit"])

    def clicks(self, *steps):
        """What a newcomer presses, from the overview: three times at most. Each is (text, within), and what is seen then."""
        self.assertLessEqual(len(steps), 3)
        self.open("", "Running")
        for (text, within), seen in steps:
            self.click(text, within)
            self.shows(seen)

    def test_3c_three_clicks_from_the_overview(self):
        with self.subTest("the slowest type"):
            self.clicks((("Types", ".side"), "How long runs take"), (("p50", "main"), "p50 ↓"))
            self.assertEqual(self.browser.script("return document.querySelector('.typelist tbody a').innerText"), "page-quick")
        with self.subTest("why a task waits"):
            self.clicks((("Show them", "main"), STUCK), ((self.stuck[:13], ".rows"), "Why it waits"))
            self.shows(STUCK)
        with self.subTest("what round-robin would have done for a task"):
            self.clicks((("Decisions", ".side"), "Round-robin"), ((self.quick_decision(), ".rows"), "What was known"))
            self.shows("Round-robin", "Candidates")
        with self.subTest("drain a worker"):
            self.clicks((("Fleet", ".side"), "page-worker"), (("Drain…", "aside"), "It starts nothing new"))
            self.browser.fill("[name=reason]", "new kernel")
            self.click("Drain")
            wait_until("it drains", lambda: self.house.json("worker", "get", "page-worker")["state"] == "WORKER_STATE_DRAINING", 20)
            self.house.run("worker", "uncordon", "page-worker")
            self.house.worker_ready(1)
        with self.subTest("change a setting with a reason, and find it in the audit"):
            self.clicks((("Config & audit", ".side"), "scheduler.lease"))
            self.browser.script("document.querySelector('[aria-label=\"Edit crashes_max\"]').click()")
            wait_until("the field is there", lambda: self.browser.fill("[aria-label='Value of crashes_max']", "5"), 20)
            self.click("Change…")
            self.browser.fill("[name=reason]", "machines are flaky tonight")
            self.click("Change it")
            self.shows("See it in the audit")
            self.click("See it in the audit")
            self.shows("machines are flaky tonight")
            self.browser.script("document.querySelector('dialog')?.close()")
        self.no_complaints()

    def quick_decision(self):
        with urllib.request.urlopen(self.url("v1/decisions?limit=1")) as answer:
            return f"{int(json.load(answer)['decisions'][0]['number']):,}"

    def test_3d_it_works_below_the_path_of_a_proxy(self):
        stripping = type("Here", (Stripping,), {"target": self.house.http})
        server = ThreadingHTTPServer(("127.0.0.1", 0), stripping)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            base = f"http://127.0.0.1:{server.server_port}{PREFIX}/"
            for path, expected in (("", "Running"), (f"tasks/{self.stuck}", STUCK), ("workers/page-worker", "What it is"), ("types/page-quick", "How long runs take")):
                with self.subTest(path):
                    self.browser.open(base + path)
                    self.shows("Live", expected)
            self.click("Overview", ".side")
            self.shows("Tasks waiting")
            self.assertEqual(self.browser.script("return location.href"), base)
            outside = self.browser.script("return performance.getEntriesByType('resource').map((e) => e.name).filter((e) => !e.startsWith(arguments[0]))", base)
            self.assertEqual(outside, [], "nothing is asked for outside of the path")
        finally:
            self.browser.open("about:blank")
            server.shutdown()
            server.server_close()

    def test_4_a_newcomer_finds_and_changes_things(self):
        self.open("", "Running")
        self.click("Types", ".side")  # the slowest type
        self.click("p50")
        wait_until("it is sorted", lambda: self.browser.script("return document.querySelector('.typelist tbody a').innerText") == "page-quick", 20)
        self.open("", "1 task cannot run on any connected worker")  # why a task waits
        self.click("Show them")
        self.click(self.stuck[:13], ".rows")
        self.shows("Why it waits", STUCK)
        self.open("", "Running")  # the worker, what decided
        self.click("Decisions", ".side")
        self.shows("Round-robin", "page-worker")
        # Change a setting with a reason, and find it in the audit.
        self.click("Config & audit", ".side")
        self.shows("scheduler.lease")
        self.browser.script("document.querySelector('[aria-label=\"Edit attempts_max\"]').click()")
        wait_until("the field is there", lambda: self.browser.fill("[aria-label='Value of attempts_max']", "4"), 20)
        self.click("Change…")
        self.shows("scheduler.attempts_max = 4")
        self.assertTrue(self.browser.script("return document.querySelector('dialog button[type=submit]').disabled"), "a reason is needed")
        self.browser.fill("[name=reason]", "more tries at night")
        self.browser.fill("[name=author]", "mira")
        self.click("Change it")
        self.shows("See it in the audit")
        self.click("See it in the audit")
        self.browser.script("document.querySelector('dialog')?.close()")
        self.open("audit", "more tries at night", "mira", "attempts_max")
        # Hold a task, cordon the worker and take it back.
        self.open(f"tasks/{self.stuck}", "Hold…")
        self.act("Hold…", "Hold", "database is moving")
        wait_until("it is held", lambda: self.house.json("override", "list")["overrides"], 20)
        self.open("fleet", "Cordon…")
        self.act("Cordon…", "Cordon", "new disk")
        wait_until("it is cordoned", lambda: self.house.json("worker", "get", "page-worker")["state"] == "WORKER_STATE_CORDONED", 20)
        self.open("workers/page-worker", "Uncordon…")
        self.act("Uncordon…", "Uncordon", "disk is in")
        self.house.worker_ready(1)
        self.no_complaints()

    def act(self, button, verb, reason):
        self.click(button)
        wait_until("the dialog asks for a reason", lambda: self.browser.fill("[name=reason]", reason), 20)
        self.click(verb)

    def test_5_what_others_wrote_is_text(self):
        hostile = self.house.submit_exec("true", flags=("--type", "page-hostile", "--metadata", f"note={HOSTILE}", "--require", "zone=nowhere"))
        self.post("v1/overrides", {"kind": "hold", "type": "page-later", "author": HOSTILE[:100], "reason": HOSTILE})
        self.post(f"v1/tasks/{hostile}/cancel", {"reason": HOSTILE})
        for path in (f"tasks/{hostile}", "tasks?type=page-hostile", "config?show=overrides", "audit"):
            with self.subTest(path):
                self.open(path, "<img src=x onerror=")
                self.assertEqual(self.browser.script("return document.querySelectorAll('img, main script').length"), 0)
                self.assertNotIn("\u202e", self.browser.text(), "what turns its neighbours is shown")
                self.assertNotIn("taken", self.browser.script("return document.title"))
        self.no_complaints()

    def test_5b_names_and_keys_are_text(self):
        """Names have an alphabet and 128 characters at most. What keys may hold is theirs: it is shown, and never obeyed."""
        for field in ("type", "tenant", "queue"):
            with self.assertRaises(urllib.error.HTTPError) as refused:
                self.post("v1/tasks", {"type": "page-long", field: HOSTILE})
            self.assertEqual(refused.exception.code, 400, field)
            refused.exception.close()
        long = {kind: f"{kind}-".ljust(128, "W") for kind in ("worker", "type", "tenant", "queue")}
        worker = self.house.start_worker(long["worker"], slots=1)
        self.house.worker_ready(2)
        for key in ("concurrency", "rate"):
            self.post("v1/tasks", {"type": long["type"], "tenant": long["tenant"], "queue": long["queue"], "labels_required": {"zone": "nowhere"},
                                   f"{key}_key": HOSTILE, **({"rate_per_s": 1} if key == "rate" else {"concurrency_max": 1})})
        try:
            for width in (320, 1440):
                self.browser.size(width, 900)
                for path, expected in (("", "tasks"), ("fleet?view=table", long["worker"]), (f"workers/{long['worker']}", long["worker"]),
                                       (f"tasks?type={long['type']}", "nowhere"), ("queues", "<img src=x onerror="), (f"queues/{long['queue']}", "What waits and runs"),
                                       (f"tenants/{long['tenant']}", "<img src=x onerror=")):
                    with self.subTest(path=path[:24], width=width):
                        self.open(path, "Live", expected)
                        self.assertEqual(self.browser.script("return document.querySelectorAll('img, main script').length"), 0)
                        self.assertNotIn("\u202e", self.browser.text(), "what turns its neighbours is shown")
                        self.assertLessEqual(self.browser.script("return document.documentElement.scrollWidth"), width)
        finally:
            self.browser.size(1440, 1000)
            worker.kill()
            worker.wait()
        self.no_complaints()

    def post(self, path, body):
        request = urllib.request.Request(self.url(path), json.dumps(body).encode(), {"Content-Type": "application/json"}, method="POST")
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def test_6_it_is_accessible(self):
        subprocess.run([WEB.parent / "tools" / "page.sh", "deps"], check=True)
        axe = (WEB / "node_modules/axe-core/axe.min.js").read_text()
        for path in ("", "fleet", "fleet?view=table", "workers/page-worker", "tasks", f"tasks/{self.running}", f"tasks/{self.stuck}", f"tasks?task={self.stuck}", "types",
                     "queues", "queues/default", "tenants/default", "decisions", "decisions/" + self.quick_decision().replace(",", ""), "config", "config?show=overrides",
                     "config?show=versions", "audit", "status", "signin"):
            self.open(path, "Live")
            wait_until("its part has come", lambda: self.browser.script("return document.querySelector('main h1') !== null && !document.querySelector('main .skel')"), 20)
            self.browser.evaluate(axe + ";0")
            for theme in ("light", "dark"):
                with self.subTest(path=path, theme=theme):
                    self.browser.script("document.documentElement.dataset.theme = arguments[0]", theme)
                    found = self.browser.evaluate("axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']})"
                                                  ".then((r) => r.violations.map((v) => v.id + ': ' + v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160)).join(' | ')))")
                    self.assertEqual(found, [])

    def test_7_no_width_scrolls_sideways(self):
        for width in (320, 360, 768, 1440, 2560):
            self.browser.size(width, 900)
            for path in ("", "fleet", "workers/page-worker", "tasks", f"tasks/{self.running}", "types", "queues", "decisions", "config", "audit", "status"):
                with self.subTest(path=path, width=width):
                    self.open(path, "Live")
                    wait_until("its part has come", lambda: self.browser.script("return document.querySelector('main h1') !== null && !document.querySelector('main .skel')"), 20)
                    self.assertLessEqual(self.browser.script("return document.documentElement.scrollWidth"), width)
        self.browser.size(1440, 1000)

    def test_8_it_says_when_the_server_is_gone(self):
        self.open("", "Running")
        self.house.kill_server()
        self.shows("No connection", "No connection to the server since", "the scheduler goes on without this page")
        self.assertIn("Waiting", self.browser.text(), "it keeps what it has")
        self.house.start_server()
        wait_until("it is live again", lambda: self.browser.click("Try now") or "Live" in self.browser.text(), 30)
        self.shows("Live")


class IllWorker(unittest.TestCase):
    def test_the_worker_that_misbehaves_and_why_its_breaker_opened(self):
        with House() as house:
            house.start_server()
            demo = Demo(house)
            for n in range(4):
                demo.worker(f"page-well-{n}", slots=1)
            demo.worker("page-ill", slots=1, ill=True)
            house.worker_ready(5)

            def opened():
                for _ in range(5):
                    demo.task("thumb", .2)
                house.await_idle()
                return house.json("worker", "get", "page-ill")["breaker"] == "open"
            wait_until("the breaker of the slow worker is open", opened, 90)
            with contextlib.closing(Browser(house)) as browser:
                browser.open(f"http://{house.http}/")
                wait_until("the overview says so", lambda: browser.click("See it"), 30)
                wait_until("its page says why", lambda: "The breaker is open" in browser.text() and "page-ill" in browser.text(), 30)
                told = house.json("worker", "get", "page-ill")["breaker_reason"]
                self.assertIn(told[1:], browser.text())
                self.assertEqual(browser.complaints(), [])


class SignedIn(unittest.TestCase):
    def test_a_token_opens_the_page_and_a_role_bounds_it(self):
        with House() as house:
            house.start_server("--auth", "tokens")
            admin = str(house.folder / "data/admin.token")
            for name, flags in (("mira", ("--role", "viewer")), ("acme-dev", ("--role", "submitter", "--tenant", "acme"))):
                house.run("token", "create", name, *flags, "--out", str(house.folder / name), "--token-file", admin)
            with contextlib.closing(Browser(house)) as browser:
                def shows(text):
                    wait_until(f"the page shows {text}", lambda: text in browser.text(), 30)

                def sign_in(token):
                    shows("This server wants to know who you are")
                    wait_until("there is a field", lambda: browser.fill("[name=token]", token), 20)
                    wait_until("it can be sent", lambda: browser.click("Sign in"), 20)
                browser.open(f"http://{house.http}/config")
                sign_in("nxt_" + "0" * 64)
                shows("That token is not known")
                sign_in((house.folder / "mira").read_text().strip())
                shows("scheduler.lease")
                shows("needs role admin")
                self.assertIn("mira", browser.script("return document.querySelector('.who').innerText"))
                self.assertTrue(browser.script("return document.querySelector('[aria-label=\"Edit attempts_max\"]').disabled"))
                self.assertNotIn("nexus_session", browser.script("return document.cookie"), "scripts cannot read the session")
                browser.click("Sign out", ".top")
                sign_in((house.folder / "acme-dev").read_text().strip())
                shows("acme-dev is bound to tenant acme")
                browser.open(f"http://{house.http}/tasks")
                shows("Nothing has been submitted yet")


if __name__ == "__main__":
    unittest.main(verbosity=2)
