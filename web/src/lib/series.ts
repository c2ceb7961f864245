// What was before this page was opened, and what is most likely to come, as points of a chart. Pure.

import type { Point } from "./frames.ts";
import { num } from "./format.ts";
import type { Series } from "./wire.ts";

// A point of a chart: of the past less is known than of a frame.
export type Moment = { t: number } & { [K in Exclude<keyof Point, "t">]: Point[K] | null } & { waitP50: number | null; waitP99: number | null };

export function momentsOf(series: Series | undefined): Moment[] {
  const step = num(series?.step_us);
  const from = num(series?.from_unix_us);
  if (!series || step <= 0 || from <= 0) return [];
  const column = (name: string) => series.values?.[series.names?.indexOf(name) ?? -1] ?? [];
  const [waiting, finished, arrived] = ["waiting", "finished", "submitted"].map(column);
  const [within25, p90Held, waitP50, waitP99] = ["within_25", "p90_coverage", "wait_p50_us", "wait_p99_us"].map(column);
  const use = ["use_min", "use_p5", "use_p50", "use_p95", "use_max"].map(column);
  const rate = (count: number | null | undefined) => (count === null || count === undefined ? null : (count * 1e6) / step);
  return waiting.map((_, i) => {
    const spread = use.map((each) => each[i] ?? null);
    return {
      t: from + (i + 1) * step,  // where the step ends
      waiting: waiting[i] ?? null, busy: null, finished: rate(finished[i]), arrived: rate(arrived[i]),
      within25: within25[i] || null, p90Held: p90Held[i] || null, waitP50: waitP50[i] || null, waitP99: waitP99[i] || null,
      use: spread.includes(null) ? null : (spread as unknown as Point["use"]),
    };
  });
}

// The past first, the page's own points where it has them; where it had no connection the past fills the gap.
const GAP_US = 15e6;
export function joined(past: readonly Moment[], own: readonly Point[], from: number): Moment[] {
  const mine = own.filter((each) => each.t >= from);
  const found: Moment[] = [];
  let p = past.findIndex((each) => each.t >= from);
  if (p < 0) p = past.length;
  for (const point of mine) {
    const last = found.at(-1)?.t ?? from - GAP_US;
    while (p < past.length && past[p].t < point.t) {
      if (point.t - last > GAP_US || found.length === 0) found.push(past[p]);
      ++p;
    }
    found.push({ ...point, waitP50: null, waitP99: null });
  }
  if (mine.length === 0) found.push(...past.slice(p));
  return found;
}

// From now until the queue is empty: how many wait then, most likely and in nine of ten cases. Null where nothing is told.
export interface Forecast { t: number[]; low: number[] | null; mid: number[]; high: number[] | null }
export function forecast(now: number, waiting: number, floor: number, empty: { p10: number; p50: number; p90: number }, until: number): Forecast | null {
  if (waiting <= floor || empty.p50 <= now) return null;
  const [p10, p90] = [empty.p10 > now ? Math.min(empty.p10, empty.p50) : 0, empty.p90 > now ? Math.max(empty.p90, empty.p50) : 0];
  const at = (end: number, t: number) => (t >= end ? floor : floor + (waiting - floor) * (1 - (t - now) / (end - now)));
  const ends = [now, p10, empty.p50, p90].filter((each) => each > 0).map((each) => Math.min(each, until));
  const t = [...new Set(ends)].sort((a, b) => a - b);
  return { t, low: p10 > 0 ? t.map((each) => at(p10, each)) : null, mid: t.map((each) => at(empty.p50, each)), high: p90 > 0 ? t.map((each) => at(p90, each)) : null };
}
