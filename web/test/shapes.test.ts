import assert from "node:assert/strict";
import { test } from "node:test";
import { verdict } from "../src/lib/attention.ts";
import { bandShape, logTicks, predictionOf, ticksTo } from "../src/lib/band.ts";
import type { Seen } from "../src/lib/columns.ts";
import { filterOf, groupingOf, groups, tileSize } from "../src/lib/fleet.ts";
import { NOTHING, type World } from "../src/lib/frames.ts";
import { changesOf, settingsOf, withValue } from "../src/lib/settings.ts";
import { append, merge } from "../src/lib/tasklist.ts";
import { axisOf, rowsOf, sharesOf } from "../src/lib/timeline.ts";
import type { Status, Task } from "../src/lib/wire.ts";

test("bands: nothing leaves the width, late is beyond P90", () => {
  assert.equal(bandShape(1, 0, 0), null);
  assert.equal(bandShape(-1, 5, 6), null);
  assert.deepEqual(bandShape(50, 100, 200), { elapsed: 19.2, from: 38.5, width: 38.5, late: false, full: 260 });
  for (const [elapsed, p50, p90] of [[0, 1, 1], [1e9, 1, 2], [5, 10, 3], [1e15, 1e3, 1e4]]) {
    const shape = bandShape(elapsed, p50, p90);
    assert.ok(shape && shape.elapsed <= 100 && shape.from + shape.width <= 100.1, String(elapsed));
    assert.equal(shape.late, elapsed > Math.max(p50, p90));
  }
  assert.deepEqual(predictionOf({ estimate: { p50_us: "10", p90_us: "20" }, attempts: [{ predicted_us: "30" }] }), { p50: 30, p90: 60 });
  assert.deepEqual(predictionOf({ estimate: { p50_us: "10", p90_us: "20" } }), { p50: 10, p90: 20 });
  assert.deepEqual(predictionOf({}), { p50: 0, p90: 0 });
});

test("ticks", () => {
  assert.deepEqual(logTicks(1, 100), [1, 5, 20, 100].filter((v) => logTicks(1, 100).includes(v)));
  assert.ok(logTicks(0.001, 1e6).length <= 7);
  assert.deepEqual(ticksTo(100), [0, 50, 100]);
  assert.deepEqual(ticksTo(0), [0]);
});

const worker = (name: string, labels: Record<string, string> = {}, more: Partial<Seen> = {}) =>
  ({ name, labels, state: "WORKER_STATE_READY", breaker: "closed", slots: 4, running: 1, speed: 1, utilization: 0.5, failures: 0, hostname: "", ...more }) as Seen;

test("the fleet: groups, places, filters, tiles", () => {
  const fleet = [worker("a-10", { hw: "c6", zone: "a" }), worker("a-9", { hw: "c6", zone: "b" }), worker("g-1", { hw: "gpu", zone: "a", id: "1" }, { speed: 0.25, breaker: "open" })];
  assert.deepEqual(groupingOf(fleet), ["hw", "zone"]);
  assert.deepEqual(groups(fleet, ["hw"]).map((each) => each.workers.map((w) => w.name)), [["a-9", "a-10"], ["g-1"]]);
  assert.deepEqual(groups(fleet, []).length, 1);
  const names = (text: string) => fleet.filter(filterOf(text)).map((each) => each.name);
  assert.deepEqual(names("zone=a hw=gpu"), ["g-1"]);
  assert.deepEqual(names("speed>1.3"), ["g-1"]);
  assert.deepEqual(names("state=breaker"), ["g-1"]);
  assert.deepEqual(names("free>=3 a-"), ["a-10", "a-9"]);
  assert.deepEqual(names("slots=4").length, 3);
  assert.deepEqual(names("zone=q"), []);
  assert.equal(tileSize([3], 800, 400).size, 34);
  const many = tileSize(Array.from({ length: 9 }, () => 111), 900, 400);
  assert.ok(many.size >= 8 && many.size < 20);
});

test("lists hold still while somebody is in them", () => {
  const task = (id: string, state = "RUNNING") => ({ id, state: `TASK_STATE_${state}` }) as Task;
  const shown = [task("b"), task("a")];
  const held = merge(shown, [task("c"), task("b", "SUCCEEDED")], true);
  assert.deepEqual(held.shown.map((each) => [each.id, each.state]), [["b", "TASK_STATE_SUCCEEDED"], ["a", "TASK_STATE_RUNNING"]]);
  assert.equal(held.newer, 1);
  assert.deepEqual(merge(shown, [task("c"), task("b")], false).shown.map((each) => each.id), ["c", "b", "a"]);
  assert.deepEqual(merge(shown, [task("z")], false).shown.map((each) => each.id), ["z"]);
  assert.deepEqual(append(shown, [task("a"), task("0")], 3).map((each) => each.id), ["b", "a", "0"]);
  assert.equal(append(shown, [task("0"), task("1")], 3).length, 3);
});

const base = 1e15;
const S = 1e6;
test("a timeline has a row for each attempt, and the axis folds what is long and empty", () => {
  const task = {
    id: "1", state: "TASK_STATE_RUNNING", submitted_unix_us: String(base), finished_unix_us: "0", estimate: { p50_us: String(90 * S), p90_us: String(120 * S) },
    promise: { finish_p50_unix_us: String(base + 100 * S), finish_p90_unix_us: String(base + 150 * S) }, eta: { finish_p50_unix_us: String(base + 210 * S), finish_p90_unix_us: String(base + 240 * S) },
    attempts: [
      { number: 1, worker: "w1", started_unix_us: String(base + 38 * S), ended_unix_us: String(base + 89 * S), outcome: "failed", predicted_us: String(66 * S) },
      { number: 2, worker: "w2", started_unix_us: String(base + 123 * S), ended_unix_us: "0", outcome: "", predicted_us: String(91 * S) },
    ],
  } as unknown as Task;
  const rows = rowsOf(task, base + 200 * S);
  assert.deepEqual(rows.map((each) => each.name), ["Promised", "Waiting", "Attempt 1", "Attempt 2"]);
  assert.equal(rows[1].spans.length, 2);
  assert.equal(rows[2].spans[0].kind, "bad");
  assert.deepEqual(rows[3].predicted, [base + 210 * S, base + 240 * S]);
  assert.deepEqual(sharesOf(task, base + 200 * S).map((each) => each.us / S), [38, 34, 51, 77]);
  const axis = axisOf(rows, base + 200 * S, 0, 1000);
  assert.equal(axis.folds.length, 0);
  assert.ok(axis.x(base) >= 0 && axis.x(base + 240 * S) <= 1000);
  const far = axisOf([{ name: "x", spans: [{ from: base, to: base + 10 * S, kind: "wait", text: "" }], predicted: [base + 86400 * S, base + 86410 * S] }], null, 0, 1000);
  assert.equal(far.folds.length, 1);
  assert.ok(far.x(base + 10 * S) > 300 && far.x(base + 86400 * S) < 700);
  assert.ok(Number.isFinite(axisOf([], 5, 0, 100).x(5)));
});

test("settings are edited in their line", () => {
  const toml = "[scheduler]\npolicy = \"predictive\"\n# lease = 1\nlease = \"5s\"\n\n[limits]\nlease = 3\n";
  const all = settingsOf(toml);
  assert.deepEqual(all.map((each) => `${each.section}.${each.key}=${each.value}`), ["scheduler.policy=\"predictive\"", "scheduler.lease=\"5s\"", "limits.lease=3"]);
  const next = withValue(toml, all[1], "\"9s\"");
  assert.deepEqual(changesOf(toml, next), [{ key: "scheduler.lease", before: "\"5s\"", after: "\"9s\"" }]);
});

const world = (more: Partial<Status>): World =>
  ({ ...NOTHING, status: { waiting: "0", running: "0", submitted: "5", workers_ready: 1, workers_total: 1, slots: 4, waiting_no_worker: "0", waiting_held: "0", waiting_paused: "0", history_dropped: "0", now_unix_us: "1000", drain_eta_unix_us: "0", ...more } as Status });

test("the verdict", () => {
  assert.equal(verdict(NOTHING).kind, "none");
  assert.equal(verdict(world({})).kind, "well");
  assert.equal(verdict(world({ submitted: "0", workers_total: 0, workers_ready: 0 })).kind, "none");
  assert.equal(verdict(world({ workers_ready: 0 })).kind, "no-worker");
  assert.equal(verdict(world({ fallback: true })).kind, "fallback");
  assert.equal(verdict(world({ waiting: "2", waiting_no_worker: "2" })).kind, "stuck");
  assert.equal(verdict(world({ waiting: "9", drain_eta_unix_us: "9000" })).kind, "catching-up");
});
