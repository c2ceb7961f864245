// What the frames of the stream add up to. Pure: a frame that is doubled, late or after a gap changes nothing twice.

import { num } from "./format.ts";
import type { Status, Task, Worker } from "./wire.ts";

// A point of the page's own history, one for each status frame. Null: not known, e.g. just after a gap.
export interface Point {
  t: number;  // server's clock, microseconds
  waiting: number;
  busy: number;  // share of slots
  finished: number | null;   // a second
  arrived: number | null;
  within25: number | null;
  p90Held: number | null;
  use: [number, number, number, number, number] | null;  // of the ready workers: least, p5, median, p95, most
}

export interface World {
  status: Status | undefined;
  workers: readonly Worker[];
  tasks: readonly Task[];
  frames: number;
  history: readonly Point[];
  restarted: boolean;  // the server is another one than at the frame before
}

export const NOTHING: World = { status: undefined, workers: [], tasks: [], frames: 0, history: [], restarted: false };
const POINTS_MAX = 1800;
const GAP_US = 5e6;

function finishedOf(status: Status): number {
  return num(status.succeeded) + num(status.dead) + num(status.cancelled) + num(status.expired);
}

export function addStatus(world: World, status: Status): World {
  const before = world.status;
  const now = num(status.now_unix_us);
  const restarted = before !== undefined && num(status.uptime_us) < num(before.uptime_us) && now > num(before.now_unix_us);
  if (before && now <= num(before.now_unix_us)) return world;
  const point = pointOf(status, restarted ? undefined : before, world.workers);
  const kept = world.history.length >= POINTS_MAX ? world.history.slice(world.history.length - POINTS_MAX + 1) : world.history;
  return { ...world, status, restarted, frames: world.frames + 1, history: [...kept, point] };
}

function pointOf(status: Status, before: Status | undefined, workers: readonly Worker[]): Point {
  const now = num(status.now_unix_us);
  const passed = before ? now - num(before.now_unix_us) : 0;
  const known = before !== undefined && passed > 0 && passed < GAP_US;
  const rate = (after: number, earlier: number) => (after >= earlier ? ((after - earlier) * 1e6) / passed : null);
  return {
    t: now,
    waiting: num(status.waiting),
    busy: status.slots ? num(status.running) / status.slots : 0,
    finished: known ? rate(finishedOf(status), finishedOf(before)) : null,
    arrived: known ? rate(num(status.submitted), num(before.submitted)) : null,
    within25: status.within_25 || null,
    p90Held: status.p90_coverage || null,
    use: spread(workers.filter((each) => each.state === "WORKER_STATE_READY").map((each) => each.utilization)),
  };
}

export function quantile(sorted: readonly number[], q: number): number {
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.round(q * (sorted.length - 1))))];
}

export function spread(values: number[]): Point["use"] {
  if (values.length === 0) return null;
  const sorted = values.sort((a, b) => a - b);
  return [sorted[0], quantile(sorted, 0.05), quantile(sorted, 0.5), quantile(sorted, 0.95), sorted[sorted.length - 1]];
}

// A rate of the last seconds, smoother than that of one frame. Null: not known yet.
export function recentRate(history: readonly Point[], field: "finished" | "arrived", points = 10): number | null {
  const known = history.slice(-points).map((each) => each[field]).filter((each) => each !== null);
  return known.length === 0 ? null : known.reduce((sum, each) => sum + each, 0) / known.length;
}

// Tasks a second by which the queue grows (or shrinks), over the last minute. Null: not known yet.
export function trend(history: readonly Point[], seconds = 60): number | null {
  const last = history.at(-1);
  if (!last) return null;
  const first = history.find((each) => each.t >= last.t - seconds * 1e6);
  if (!first || last.t - first.t < 10e6) return null;
  return ((last.waiting - first.waiting) * 1e6) / (last.t - first.t);
}
