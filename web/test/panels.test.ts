import assert from "node:assert/strict";
import { test } from "node:test";
import { needsTold } from "../src/lib/attention.ts";
import { askedOf, filterWords, offBy, spanOf, withRegret } from "../src/lib/decisions.ts";
import type { Point } from "../src/lib/frames.ts";
import { bandPath, chance, dotsOf, judged, logRange, logTicksIn, slotTimeOf } from "../src/lib/runs.ts";
import { forecast, joined, momentsOf } from "../src/lib/series.ts";
import { judge, rangeWords } from "../src/lib/settings.ts";
import { rowsOf } from "../src/lib/timeline.ts";
import type { Decision, Series, SettingHelp, Task, TypeStat } from "../src/lib/wire.ts";

// As GET /v1/series answers: a list for each name, a number or null for each step.
const series: Series = {
  from_unix_us: "1000000000", step_us: "10000000",
  names: ["waiting", "finished", "submitted", "wait_p50_us", "wait_p99_us", "within_25", "p90_coverage", "use_p5", "use_p50", "use_p95", "use_min", "use_max"],
  values: [[4, null, 8], [200, null, 100], [210, null, 90], [2000, null, 0], [5e6, null, 6e6], [0.8, null, 0.81], [0.9, null, 0.91], [0.5, null, 0.6], [0.7, null, 0.7], [0.9, null, 0.9], [0.4, null, 0.5], [1, null, 0.95]],
};

test("the past: counts of a step become rates, what is not known stays unknown", () => {
  const past = momentsOf(series);
  assert.deepEqual(past.map((each) => each.t), [1010e6, 1020e6, 1030e6]);
  assert.deepEqual(past.map((each) => each.finished), [20, null, 10]);
  assert.deepEqual(past.map((each) => each.waiting), [4, null, 8]);
  assert.deepEqual(past.map((each) => each.waitP50), [2000, null, null], "0 is no wait that was measured");
  assert.deepEqual(past[0].use, [0.4, 0.5, 0.7, 0.9, 1]);
  assert.equal(past[1].use, null);
  assert.deepEqual(momentsOf(undefined), []);
  assert.deepEqual(momentsOf({ ...series, step_us: "0" }), []);
  // A name that an older server does not tell.
  const some = momentsOf({ ...series, names: ["waiting"], values: [[1, 2]] });
  assert.deepEqual(some.map((each) => [each.waiting, each.finished, each.use]), [[1, null, null], [2, null, null]]);
});

test("the past comes before the page's own points, and fills their gaps", () => {
  const past = momentsOf({ ...series, values: series.names?.map(() => [1, 2, 3, 4, 5, 6]) });  // 1010 to 1060
  const own = (t: number) => ({ t: t * 1e6, waiting: 100 }) as Point;
  const waiting = (points: Point[], from = 0) => joined(past, points, from * 1e6).map((each) => [each.t / 1e6, each.waiting]);
  assert.deepEqual(waiting([own(1035), own(1036)]), [[1010, 1], [1020, 2], [1030, 3], [1035, 100], [1036, 100]]);
  assert.deepEqual(waiting([own(1015), own(1016), own(1055)]), [[1010, 1], [1015, 100], [1016, 100], [1020, 2], [1030, 3], [1040, 4], [1050, 5], [1055, 100]]);
  assert.deepEqual(waiting([], 1045), [[1050, 5], [1060, 6]]);
  assert.deepEqual(waiting([own(1035)], 1032), [[1035, 100]]);
  assert.deepEqual(joined([], [own(1)], 0).length, 1);
});

test("the forecast ends where nothing is left to start, and is told as far as the chart goes", () => {
  const all = forecast(100, 50, 10, { p10: 200, p50: 300, p90: 500 }, 1000);
  assert.deepEqual(all?.t, [100, 200, 300, 500]);
  assert.deepEqual(all?.mid, [50, 30, 10, 10]);
  assert.deepEqual(all?.low, [50, 10, 10, 10]);
  assert.deepEqual(all?.high, [50, 40, 30, 10]);
  assert.deepEqual(forecast(100, 50, 10, { p10: 200, p50: 300, p90: 500 }, 250)?.t, [100, 200, 250]);
  const old = forecast(100, 50, 0, { p10: 0, p50: 300, p90: 0 }, 1000);
  assert.deepEqual([old?.t, old?.low, old?.high], [[100, 300], null, null]);
  assert.equal(forecast(100, 10, 10, { p10: 0, p50: 300, p90: 0 }, 1000), null);
  assert.equal(forecast(100, 50, 0, { p10: 0, p50: 0, p90: 0 }, 1000), null);
});

test("what needs somebody, as the server tells it", () => {
  const [first, second] = needsTold({ now_unix_us: "6", needs: [
    { id: "breaker:gpu <7>", severity: "breaks", kind: "breaker", object: "gpu <7>", since_unix_us: "5", sentence: "Its breaker is open.", meaning: "Others do its work.", act: "See `nexus worker get`.", target: "workers/gpu%20%3C7%3E" },
    { id: "held", severity: "notice", kind: "unheard of", object: "", since_unix_us: "0", sentence: "Operators hold 2 tasks.", meaning: "", act: "", target: "config?show=overrides" },
  ] });
  assert.deepEqual([first.kind, first.glyph, first.to, first.since, first.act], ["bad", "breaker", { page: "workers", name: "gpu <7>", query: {} }, 5, "Open worker"]);
  assert.equal(first.why, "Others do its work. See `nexus worker get`.");
  assert.deepEqual([second.kind, second.glyph, second.to], ["run", "info", { page: "config", name: "", query: { show: "overrides" } }]);
  assert.deepEqual(needsTold({ now_unix_us: "6" }), []);
});

const run = (at: number, took: number, p50: number, p90: number) => ({ at_unix_us: String(at), task_id: `t${at}`, worker: "w", run_us: String(took), p50_us: String(p50), p90_us: String(p90), size: "0" });

test("runs against what was predicted", () => {
  const dots = dotsOf([run(30, 100, 100, 120), run(10, 130, 100, 120), run(20, 80, 100, 90), run(40, 0, 100, 120), run(50, 10, 0, 0)]);
  assert.deepEqual(dots.map((each) => [each.t, each.late, each.hit]), [[10, true, true], [20, false, true], [30, false, true]]);
  assert.equal(dotsOf([run(1, 100, 126, 130)])[0].hit, false);
  assert.equal(dots[1].p90, 100, "P90 is never before p50");
  const band = bandPath(dots, (t) => t, (v) => v, 40);
  assert.equal(band.mid, "M10.0 100.0L20.0 100.0L20.0 100.0L30.0 100.0L30.0 100.0L40.0 100.0");
  assert.ok(band.area.endsWith("Z") && band.area.startsWith(band.mid));
  assert.deepEqual(bandPath([], Number, Number, 1), { area: "", mid: "" });
  assert.deepEqual(logRange([]), [1, 10]);
  assert.deepEqual(logRange([10, 0, 100]), [8, 125]);
  assert.deepEqual(logTicksIn([2.1, 4.4]), [Math.sqrt(2.1 * 4.4)], "an axis without a round value has one tick");
});

test("do the promises hold", () => {
  const points = (kept: number, n: number) => [{ promised: 0.5, kept: 0.5, n: String(n) }, { promised: 0.9, kept, n: String(n) }];
  assert.equal(judged(points(0.89, 500)), "holds");
  assert.equal(judged(points(0.8, 500)), "too sure");
  assert.equal(judged(points(0.99, 500)), "too careful");
  assert.equal(judged(points(0.8, 20)), "holds", "so few runs may be chance");
  assert.equal(judged(points(0.8, 0)), "unknown");
  assert.ok(chance(0.5, 100) > chance(0.9, 100) && chance(0.5, 0) === 1);
});

test("the time of the slots", () => {
  const types = [{ type: "a", samples: "10", mean_us: "5", slot_time_us: "0" }, { type: "b", samples: "1", mean_us: "1", slot_time_us: "7" }] as TypeStat[];
  assert.deepEqual(types.map(slotTimeOf(types).of), [0, 7]);
  assert.deepEqual(types.map(slotTimeOf(types.map((each) => ({ ...each, slot_time_us: "0" }))).of), [50, 1]);
  assert.deepEqual(types.slice(0, 1).map(slotTimeOf(types.slice(0, 1)).of), [50]);
});

test("each wait of a task has its reason", () => {
  const task = { state: "TASK_STATE_RUNNING", submitted_unix_us: "100", attempts: [{ number: 1, worker: "w1", assigned_unix_us: "900", started_unix_us: "900", ended_unix_us: "0", predicted_us: "1000", predicted_p90_us: "1700", outcome: "" }] } as Task;
  const waits = (more: Partial<Task>) => rowsOf({ ...task, ...more }, 2000).find((row) => row.name === "Waiting")?.spans.map((each) => [each.from, each.to, each.text]);
  assert.deepEqual(waits({}), [[100, 900, "before it started"]]);
  assert.deepEqual(waits({ waits: [
    { reason: "WAIT_REASON_NOT_BEFORE", culprit: "", from_unix_us: "100", to_unix_us: "400" },
    { reason: "WAIT_REASON_CONCURRENCY", culprit: "key asset-8841", from_unix_us: "400", to_unix_us: "900" },
    { reason: "WAIT_REASON_CAPACITY", culprit: "", from_unix_us: "900", to_unix_us: "900" },
    { reason: "WAIT_REASON_RATE", culprit: "", from_unix_us: "1500", to_unix_us: "0" },
  ] }), [[100, 400, "start time"], [400, 900, "concurrency limit: key asset-8841"], [1500, 2000, "rate limit"]]);
  assert.deepEqual(rowsOf(task, 2000).find((row) => row.name === "Attempt 1")?.predicted, [1900, 2600], "P90 is the one told at dispatch");
});

test("decisions: filters and what came of them", () => {
  assert.deepEqual(askedOf({ type: "thumb", fallback: "1", from: "2026-03-01T12:00Z", to: "nonsense" }),
                   { task: undefined, worker: undefined, type: "thumb", kind: undefined, fallback: true, from_unix_us: "1772366400000000", to_unix_us: undefined });
  assert.equal(filterWords({ worker: "w1", kind: "probe", tz: "utc" }), "worker=w1 kind=probe");
  assert.deepEqual(["10s", "500ms", "2.5", "3 m", "1h", "", "soon", "-1s"].map(spanOf), [10e6, 5e5, 2.5e6, 180e6, 3600e6, 0, 0, 0]);
  const decision = (run_us: string, regret_us?: string) => ({ estimate: { p50_us: "1000" }, outcome: { run_us, regret_us } }) as unknown as Decision;
  assert.equal(offBy(decision("1500")), 1.5);
  assert.equal(offBy(decision("0")), null);
  assert.equal(offBy({} as Decision), null);
  assert.equal(withRegret([decision("1", "20"), decision("1", "5"), decision("1")], 10).length, 1);
  assert.equal(withRegret([decision("1")], 0).length, 1);
});

test("settings: their range, and what cannot be a value", () => {
  const help = (more: Partial<SettingHelp>): SettingHelp => ({ key: "scheduler.attempts_max", type: "number", unit: "", min: "1", max: "100", default: "3", origin: "file", live: true, help: "", value: "4", ...more });
  assert.deepEqual([help({}), help({ max: "" }), help({ min: "" }), help({ min: "", max: "" })].map(rangeWords), ["1 to 100", "at least 1", "at most 100", ""]);
  assert.deepEqual(["3", "0", "101", "many", " "].map((text) => judge(help({}), text)), ["", "It is at least 1.", "It is at most 100.", "It is a number.", "It is a number."]);
  assert.deepEqual(["true", "yes"].map((text) => judge(help({ type: "true or false" }), text)), ["", "It is true or false."]);
  assert.equal(judge(help({ type: "duration" }), "10s"), "");
  assert.equal(judge(undefined, "anything"), "");
});
