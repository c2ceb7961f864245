// The fleet as groups, measures and filters. Pure.

import type { Seen } from "./columns.ts";
import { breakerOpen, condition, slowness, workerState } from "./words.ts";

export interface Group { name: string; parts: [string, string][]; workers: Seen[] }

// The labels by which to group when nobody said: those with two to twelve values, `hw` and `zone` first, at most two.
export function groupingOf(workers: readonly Seen[]): string[] {
  const values = new Map<string, Set<string>>();
  for (const worker of workers)
    for (const [key, value] of Object.entries(worker.labels ?? {})) {
      const known = values.get(key) ?? new Set();
      values.set(key, known.add(value));
    }
  const fit = [...values].filter(([, known]) => known.size >= 2 && known.size <= 12).map(([key]) => key);
  const rank = (key: string) => (key === "hw" ? 0 : key === "zone" ? 1 : 2);
  return fit.sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1)).slice(0, 2);
}

const byName = new Intl.Collator("en", { numeric: true });

// The places of names in their order. A collator is slow, names come and go seldom, and the fleet is told each second.
let places = new Map<string, number>();
export function placesOf(workers: readonly Seen[]): ReadonlyMap<string, number> {
  if (workers.some((each) => !places.has(each.name)))
    places = new Map([...workers].map((each) => each.name).sort(byName.compare).map((name, i) => [name, i]));
  return places;
}

// Sorted by name, so that a worker keeps its place.
export function groups(workers: readonly Seen[], keys: readonly string[]): Group[] {
  const found = new Map<string, Group>();
  const place = placesOf(workers);
  for (const worker of [...workers].sort((a, b) => place.get(a.name)! - place.get(b.name)!)) {
    const parts = keys.map((key): [string, string] => [key, worker.labels?.[key] ?? "–"]);
    const name = parts.map(([key, value]) => `${key}=${value}`).join(" ") || "all workers";
    const group = found.get(name) ?? { name, parts, workers: [] };
    group.workers.push(worker);
    found.set(name, group);
  }
  return [...found.values()].sort((a, b) => byName.compare(a.name, b.name));
}

export interface Measure {
  word: string;
  meaning: string;
  of: (worker: Seen) => number;
  low: number;
  high: number;
}
export const MEASURES: Record<string, Measure> = {
  busy: { word: "Busy now", meaning: "slots taken", of: (w) => (w.slots ? w.running / w.slots : 0), low: 0, high: 1 },
  used: { word: "Used", meaning: "of the last half minute", of: (w) => w.utilization, low: 0, high: 1 },
  speed: { word: "Speed", meaning: "run times against the average", of: (w) => Math.log2(slowness(w)), low: -1, high: 1 },
  fails: { word: "Failures", meaning: "of its last 36 runs", of: failures, low: 0, high: 0.5 },
};
const RUNS_LOOKED_AT = 36;  // of each worker, the latest
export function failures(worker: Seen): number {
  return worker.failures / RUNS_LOOKED_AT;
}
// 0..8: the step of lightness.
export function shade(measure: Measure, worker: Seen): number {
  const share = (measure.of(worker) - measure.low) / (measure.high - measure.low);
  return Math.round(8 * Math.min(1, Math.max(0, share)));
}

// "zone=a hw=gpu speed>1.3 state=draining free>0 name": all must hold.
type Test = (worker: Seen) => boolean;
const NUMBERS: Record<string, (worker: Seen) => number> = {
  speed: slowness,
  free: (w) => w.slots - w.running,
  running: (w) => w.running,
  slots: (w) => w.slots,
  used: (w) => w.utilization,
  busy: (w) => (w.slots ? w.running / w.slots : 0),
  failed: (w) => w.failures,
  done: (w) => w.done,
  cpu: (w) => w.cpu,
  memory: (w) => w.memory,
};
export function filterOf(text: string): Test {
  const tests = text.trim().split(/\s+/).filter(Boolean).map(testOf);
  return (worker) => tests.every((test) => test(worker));
}
export function testOf(word: string): Test {
  const found = /^([^<>=]+)(<=|>=|<|>|=)(.*)$/.exec(word);
  if (!found) {
    const part = word.toLowerCase();
    return (worker) => worker.name.toLowerCase().includes(part);
  }
  const [, key, sign, value] = found;
  if (key === "state") return (worker) => workerState(worker) === value || condition(worker) === value;
  if (key === "breaker") return (worker) => (value === "open" ? breakerOpen(worker) : worker.breaker === value);
  const number = NUMBERS[key];
  if (number && sign !== "=") {
    const limit = Number(value);
    return (worker) => compare(number(worker), sign, limit);
  }
  if (number && sign === "=" && value !== "" && !Number.isNaN(Number(value))) return (worker) => number(worker) === Number(value);
  return (worker) => worker.labels?.[key] === value;
}
function compare(value: number, sign: string, limit: number): boolean {
  return sign === "<" ? value < limit : sign === ">" ? value > limit : sign === "<=" ? value <= limit : value >= limit;
}

// The largest tile, 8 to 34 px, with which all groups fit into the room.
export function tileSize(groupSizes: readonly number[], width: number, height: number): { size: number; gap: number } {
  for (let size = 34; size > 8; --size) {
    const gap = size > 11 ? 3 : 2;
    const columns = Math.max(1, Math.floor((width + gap) / (size + gap)));
    const needed = groupSizes.reduce((sum, n) => sum + Math.max(36, Math.ceil(n / columns) * (size + gap)) + 7, 0);
    if (needed <= height) return { size, gap };
  }
  return { size: 8, gap: 2 };
}
