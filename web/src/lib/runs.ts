// The runs of a type against what was predicted for each. Pure.

import { logTicks } from "./band.ts";
import { num } from "./format.ts";
import type { Kept, Run, TypeStat } from "./wire.ts";

export interface Dot { t: number; task: string; worker: string; took: number; p50: number; p90: number; late: boolean; hit: boolean }

const HIT = 0.25;

// The slot time of each type: of the last quarter of an hour where the server counts it, else of all runs by their mean.
export function slotTimeOf(types: readonly TypeStat[]): { lately: boolean; of: (type: TypeStat) => number } {
  const lately = types.some((each) => num(each.slot_time_us) > 0);
  return { lately, of: (type) => (lately ? num(type.slot_time_us) : num(type.samples) * num(type.mean_us)) };
}

// Oldest first; what has no prediction or never ran is left out.
export function dotsOf(runs: readonly Run[]): Dot[] {
  return runs.map((each) => {
    const [took, p50] = [num(each.run_us), num(each.p50_us)];
    const p90 = Math.max(p50, num(each.p90_us));
    return { t: num(each.at_unix_us), task: each.task_id, worker: each.worker, took, p50, p90, late: took > p90, hit: Math.abs(p50 - took) <= HIT * took };
  }).filter((each) => each.took > 0 && each.p50 > 0).sort((a, b) => a.t - b.t);
}

// A log axis that holds all values, with some air.
export function logRange(values: readonly number[]): [number, number] {
  const known = values.filter((each) => each > 0);
  if (known.length === 0) return [1, 10];
  return [Math.min(...known) / 1.25, Math.max(...known) * 1.25];
}
export function logTicksIn([low, high]: [number, number], most = 5): number[] {
  const ticks = logTicks(low, high, most);
  return ticks.length > 0 ? ticks : [Math.sqrt(low * high)];
}

// What was predicted over time as steps, each until the next run: drawn as one band.
export function bandPath(dots: readonly Dot[], x: (t: number) => number, y: (v: number) => number, end: number): { area: string; mid: string } {
  if (dots.length === 0) return { area: "", mid: "" };
  const at = (i: number) => x(i < dots.length ? dots[i].t : end);
  const steps = (of: (dot: Dot) => number) => dots.flatMap((dot, i): [number, number][] => [[at(i), y(of(dot))], [at(i + 1), y(of(dot))]]);
  const path = (points: [number, number][]) => points.map(([px, py], i) => `${i === 0 ? "M" : "L"}${px.toFixed(1)} ${py.toFixed(1)}`).join("");
  const [mid, high] = [steps((dot) => dot.p50), steps((dot) => dot.p90)];
  return { area: `${path([...mid, ...high.reverse()])}Z`, mid: path(mid) };
}

// Of what was promised in a share q of n cases chance alone keeps so much more or less, in 95 of 100.
export function chance(q: number, n: number): number {
  return n > 0 ? 1.96 * Math.sqrt((q * (1 - q)) / n) : 1;
}
export function keptOf(points: readonly Kept[]): { promised: number; kept: number; n: number }[] {
  return points.map((each) => ({ promised: each.promised, kept: each.kept, n: num(each.n) })).filter((each) => each.n > 0).sort((a, b) => a.promised - b.promised);
}
// Whether what was kept is further from what was promised than chance explains, and to which side.
export function judged(points: readonly Kept[]): "unknown" | "holds" | "too sure" | "too careful" {
  const p90 = keptOf(points).find((each) => each.promised === 0.9);
  if (!p90) return "unknown";
  const off = p90.kept - p90.promised;
  return Math.abs(off) <= Math.max(0.02, chance(0.9, p90.n)) ? "holds" : off < 0 ? "too sure" : "too careful";
}
