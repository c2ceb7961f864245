import assert from "node:assert/strict";
import { test } from "node:test";
import { NOTHING, addStatus, quantile, recentRate, trend, type World } from "../src/lib/frames.ts";
import type { Status } from "../src/lib/wire.ts";

const status = (second: number, more: Partial<Record<keyof Status, unknown>> = {}) =>
  ({ now_unix_us: String(1e15 + second * 1e6), uptime_us: String(second * 1e6), waiting: "0", running: "0", submitted: String(20 * second), succeeded: String(10 * second), dead: "0", cancelled: "0", expired: "0", slots: 10, within_25: 0.8, p90_coverage: 0.9, ...more }) as Status;
const fed = (seconds: number[], world: World = NOTHING) => seconds.reduce((w, s) => addStatus(w, status(s)), world);

test("rates come from counters, so a lost frame loses nothing", () => {
  const world = fed([1, 2, 4, 5]);
  assert.equal(world.history.length, 4);
  assert.equal(world.history[0].finished, null);
  assert.equal(world.history[2].finished, 10);
  assert.equal(recentRate(world.history, "arrived"), 20);
});

test("frames that come twice or late change nothing", () => {
  const world = fed([1, 2, 3]);
  assert.equal(addStatus(world, status(3)), world);
  assert.equal(addStatus(world, status(2)), world);
});

test("after a gap, and after a restart, a rate is not known", () => {
  assert.equal(fed([1, 2, 60]).history.at(-1)?.finished, null);
  const world = fed([100, 101]);
  const again = addStatus(world, status(102, { uptime_us: "1000000", submitted: "0", succeeded: "0" }));
  assert.ok(again.restarted);
  assert.equal(again.history.at(-1)?.finished, null);
  const fewer = addStatus(world, status(102, { succeeded: "5" }));
  assert.equal(fewer.history.at(-1)?.finished, null);
});

test("the history is bounded", () => {
  const world = fed(Array.from({ length: 2500 }, (_, i) => i + 1));
  assert.equal(world.history.length, 1800);
  assert.equal(world.history.at(-1)?.t, 1e15 + 2500e6);
});

test("quantile and trend", () => {
  assert.equal(quantile([1, 2, 3], 1), 3);
  const rising = Array.from({ length: 30 }, (_, i) => i + 1).reduce((w, s) => addStatus(w, status(s, { waiting: String(31 * s) })), NOTHING);
  assert.equal(trend(rising.history), 31);
  assert.equal(trend(fed([1, 2]).history), null);
});
