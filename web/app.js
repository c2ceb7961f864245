// The page: one event stream in, four tables and three lines out. No library, no third party, no innerHTML.
"use strict";

const $ = (id) => document.getElementById(id);
const num = (v) => Number(v || 0);
const history = { rate: [], busy: [], accuracy: [] };
const POINTS_MAX = 300;
let last = null;

function make(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

function span(us) {
  if (us < 0) return "–";
  if (us < 1e3) return us.toFixed(0) + " µs";
  if (us < 1e6) return (us / 1e3).toFixed(us < 1e4 ? 1 : 0) + " ms";
  if (us < 6e7) return (us / 1e6).toFixed(us < 1e7 ? 1 : 0) + " s";
  if (us < 36e8) return (us / 6e7).toFixed(1) + " min";
  return (us / 36e8).toFixed(1) + " h";
}
const percent = (x) => (100 * num(x)).toFixed(0) + " %";
const count = (v) => num(v).toLocaleString("en");

function tile(value, label) {
  const box = make("div", "tile");
  box.append(make("b", "", value), make("span", "", label));
  return box;
}

function chip(text, kind) { return make("div", "chip " + (kind || ""), text); }

function draw(id, points, top) {
  const canvas = $(id), g = canvas.getContext("2d"), w = canvas.width, h = canvas.height;
  const style = getComputedStyle(document.documentElement);
  g.clearRect(0, 0, w, h);
  g.strokeStyle = style.getPropertyValue("--line");
  for (const y of [0.25, 0.5, 0.75]) { g.beginPath(); g.moveTo(0, h * y); g.lineTo(w, h * y); g.stroke(); }
  if (points.length < 2) return;
  const max = top || Math.max(1e-9, ...points) * 1.15;
  const x = (i) => w - (points.length - 1 - i) * (w / (POINTS_MAX - 1)), y = (v) => h - 3 - (h - 6) * Math.min(1, v / max);
  g.beginPath();
  points.forEach((v, i) => (i ? g.lineTo(x(i), y(v)) : g.moveTo(x(i), y(v))));
  g.strokeStyle = style.getPropertyValue("--blue");
  g.lineWidth = 2;
  g.stroke();
  g.lineTo(x(points.length - 1), h); g.lineTo(x(0), h); g.closePath();
  g.globalAlpha = 0.12; g.fillStyle = style.getPropertyValue("--blue"); g.fill(); g.globalAlpha = 1;
}

function push(name, value) {
  history[name].push(value);
  if (history[name].length > POINTS_MAX) history[name].shift();
}

function showStatus(s) {
  $("version").textContent = s.version || "";
  const finished = num(s.succeeded) + num(s.dead) + num(s.cancelled) + num(s.expired);
  const now = num(s.now_unix_us);
  const stuck = num(s.waiting_no_worker) + num(s.waiting_paused) + num(s.waiting_held);
  $("tiles").replaceChildren(
    tile(count(s.waiting), "waiting"), tile(count(s.running), "running"), tile(count(s.succeeded), "succeeded"),
    tile(count(num(s.dead) + num(s.cancelled) + num(s.expired)), "dead, cancelled, expired"),
    tile(percent(s.within_25), "predictions within 25 %"), tile(percent(s.p90_coverage), "run times within their P90"),
    tile(span(num(s.decision_p99_us)), "decision p99"), tile(span(num(s.commit_p99_us)), "commit p99"),
    tile(stuck > 0 ? "never" : num(s.drain_eta_unix_us) > now ? span(num(s.drain_eta_unix_us) - now) : "–",
      stuck > 0 ? `${stuck} waiting that nothing will start` : "until all tasks are done"));
  const chips = [chip("policy " + (s.policy || "?")), chip("durable: " + (s.durability || "?")),
    chip(num(s.workers_ready) + " of " + num(s.workers_total) + " workers ready", num(s.workers_ready) ? "good" : "bad"),
    chip("up " + span(num(s.uptime_us)))];
  if (s.fallback) chips.push(chip("prediction failed: round-robin", "bad"));
  if (num(s.stale_reports)) chips.push(chip(count(s.stale_reports) + " stale reports refused", "warn"));
  if (num(s.history_dropped)) chips.push(chip(count(s.history_dropped) + " history rows dropped", "warn"));
  $("chips").replaceChildren(...chips);
  if (last && now > last.now) {
    push("rate", Math.max(0, finished - last.finished) / ((now - last.now) / 1e6));
    push("busy", num(s.slots) ? num(s.running) / num(s.slots) : 0);
    push("accuracy", num(s.within_25));
    $("now-rate").textContent = history.rate.at(-1).toFixed(1);
    $("now-busy").textContent = percent(history.busy.at(-1));
    $("now-accuracy").textContent = percent(s.within_25);
    draw("chart-rate", history.rate);
    draw("chart-busy", history.busy, 1);
    draw("chart-accuracy", history.accuracy, 1);
  }
  last = { now, finished };
}

function row(cells) {
  const tr = make("tr");
  for (const cell of cells) {
    if (cell instanceof Node) { const td = make("td"); td.append(cell); tr.append(td); }
    else if (Array.isArray(cell)) tr.append(make("td", cell[1], cell[0]));
    else tr.append(make("td", "", cell));
  }
  return tr;
}

function showWorkers(list) {
  const workers = list.workers || [];
  $("workers-empty").hidden = workers.length > 0;
  $("workers-count").textContent = workers.length ? workers.length : "";
  $("workers").tBodies[0].replaceChildren(...workers.map((w) => {
    const slots = make("div", "slots");
    for (let i = 0; i < Math.min(num(w.slots), 64); ++i) slots.append(make("i", i < num(w.running) ? "on" : ""));
    const state = (w.state || "").replace("WORKER_STATE_", "").toLowerCase();
    const kind = state === "ready" ? "good" : state === "gone" || state === "suspect" ? "bad" : "wait";
    const silent = last ? last.now - num(w.last_heard_unix_us) : 0;
    const heard = !num(w.last_heard_unix_us) ? "–" : silent < 1.5e6 ? "now" : span(silent) + " ago";
    const open = w.breaker && w.breaker !== "closed";
    const breaker = open ? " · breaker " + w.breaker + ": " + (w.breaker_reason || "") : "";
    return row([w.name, [state + breaker, "state " + (open && kind === "good" ? "warn" : kind)], slots, [percent(w.utilization), "n"], ["×" + num(w.speed || 1).toFixed(2), "n"],
      [count(w.succeeded), "n"], [count(w.failed), "n"],
      [Object.entries(w.labels || {}).map(([k, v]) => k + "=" + v).join(" "), "why"], [heard, "n"]]);
  }));
}

// How long it has been running, pauses excluded where there were any.
function ran(attempt, now) {
  if (!attempt || !num(attempt.started_unix_us)) return 0;
  return num(attempt.run_us) || Math.max(0, now - num(attempt.started_unix_us));
}

function runBar(task, now) {
  const attempt = (task.attempts || []).at(-1);
  const bar = make("div", "bar");
  const started = attempt ? num(attempt.started_unix_us) : 0;
  const p50 = num(attempt && attempt.predicted_us) || num(task.estimate && task.estimate.p50_us);
  const p90 = Math.max(p50, num(task.estimate && task.estimate.p90_us));
  if (!p50) return bar;
  const elapsed = ran(attempt, now);
  const full = Math.max(p90 * 1.25, elapsed);
  const band = make("div", "band");
  band.style.left = (100 * p50 / full) + "%";
  band.style.width = (100 * (p90 - p50) / full) + "%";
  const fill = make("div", "fill" + (elapsed > p90 ? " late" : ""));
  fill.style.width = (100 * elapsed / full) + "%";
  bar.append(band, fill);
  bar.title = "predicted " + span(p50) + " (P90 " + span(p90) + ")" + (started ? ", running for " + span(elapsed) : "");
  return bar;
}

async function explain(id) {
  const reply = await fetch("v1/tasks/" + encodeURIComponent(id) + "/explain");
  const body = await reply.json();
  $("detail-title").textContent = "Task " + id;
  $("detail-summary").textContent = body.summary || body.detail || "";
  $("detail-body").textContent = JSON.stringify(body, null, 2);
  $("detail").showModal();
}

const STATE_KIND = { running: "run", assigned: "run", waiting: "wait", paused: "wait", succeeded: "good", dead: "bad", cancelled: "bad", expired: "bad" };

function showTasks(list) {
  const tasks = list.tasks || [];
  const now = last ? last.now : 0;
  $("tasks-empty").hidden = tasks.length > 0;
  $("tasks-count").textContent = tasks.length ? "the first " + tasks.length : "";
  $("tasks").tBodies[0].replaceChildren(...tasks.map((t) => {
    const state = (t.state || "").replace("TASK_STATE_", "").toLowerCase();
    const attempt = (t.attempts || []).at(-1);
    const reason = t.waiting ? (t.waiting.reason || "").replace("WAIT_REASON_", "").replaceAll("_", " ").toLowerCase() : "";
    const where = state === "waiting" || state === "paused" ? reason + (t.waiting && t.waiting.culprit ? ": " + t.waiting.culprit : "")
      : (attempt ? attempt.worker : "") + (attempt && attempt.progress_note ? " · " + attempt.progress_note : "");
    const id = make("button", "id", t.id.slice(0, 13));
    id.title = t.id;
    id.addEventListener("click", () => explain(t.id));
    const started = attempt ? num(attempt.started_unix_us) : 0;
    const eta = num(t.eta && t.eta.finish_p50_unix_us);
    return row([id, t.type, [state, "state " + (STATE_KIND[state] || "")], [where, "why"], runBar(t, now),
      [span(started ? started - num(t.submitted_unix_us) : now - num(t.submitted_unix_us)), "n"], [started ? span(ran(attempt, now)) : "–", "n"],
      [eta ? (eta > now ? "in " + span(eta - now) : "due") : "–", "n"]]);
  }));
}

// Signing in: the token is exchanged for a cookie that no script can read; what a change must show beside it is in one
// that this page can.
const csrf = () => (document.cookie.match(/(?:^|; )nexus_csrf=([0-9a-f]+)/) || [])[1] || "";

async function askWho() {
  const reply = await fetch("v1/whoami");
  if (reply.status === 401 && !$("sign-in").open) $("sign-in").showModal();
}

$("sign-in-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const reply = await fetch("v1/session",
    { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ token: $("token").value }) });
  const body = await reply.json();
  $("token").value = "";
  $("sign-in-why").textContent = reply.ok ? "" : body.detail || "";
  if (!reply.ok) return;
  $("sign-in").close();
  connect();
});

$("sign-out").addEventListener("click", async () => {
  await fetch("v1/session", { method: "DELETE", headers: { "X-Nexus-CSRF": csrf() } });
  location.reload();
});

let source = null;
function connect() {
  const link = $("link");
  if (source) source.close();
  $("sign-out").hidden = !csrf();
  source = new EventSource("v1/live");
  source.addEventListener("open", () => { link.textContent = "live"; link.className = "chip good"; });
  source.addEventListener("error", () => { link.textContent = "server not reachable, reconnecting…"; link.className = "chip bad"; askWho().catch(() => {}); });
  source.addEventListener("end", () => { source.close(); askWho().catch(() => {}); });
  source.addEventListener("status", (e) => showStatus(JSON.parse(e.data)));
  source.addEventListener("workers", (e) => showWorkers(JSON.parse(e.data)));
  source.addEventListener("tasks", (e) => showTasks(JSON.parse(e.data)));
}

connect();
