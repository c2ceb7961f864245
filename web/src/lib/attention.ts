// What needs a person, and the verdict, from what the server tells about itself. Pure.

import { type World, recentRate, trend } from "./frames.ts";
import { num } from "./format.ts";
import type { Place } from "./url.ts";
import { parse } from "./url.ts";
import type { Attention } from "./wire.ts";

export interface Need {
  id: string;
  kind: "bad" | "warn" | "run";
  glyph: string;
  title: string;
  why: string;
  since: number;  // 0: not known
  act: string;
  to: Place;
}

// As the server itself sees it, and `nexus doctor` with it.
const GLYPHS: Record<string, string> = {
  ready: "dead", worker: "dead", prediction: "drift", drift: "drift", disk: "warn", history: "info", gone: "gone", silent: "suspect",
  rival: "warn", flaps: "warn", breaker: "breaker", waiting: "none", dead: "dead", idle: "warn", queue: "paused", held: "limit", limit: "limit",
};
const SEVERITIES: Record<string, Need["kind"]> = { stops: "bad", breaks: "bad", waste: "warn", notice: "run" };
const OPENS: Partial<Record<Place["page"], string>> = {
  workers: "Open worker", fleet: "Open fleet", types: "Open type", tasks: "Show them", queues: "Open queue", status: "Open status",
  decisions: "Open decisions", config: "Open config", audit: "Open audit", tenants: "Open tenant",
};
export function needsTold(told: Attention): Need[] {
  return (told.needs ?? []).map((each) => {
    const [path, search = ""] = each.target.split("?");
    const to = parse(path, search).place;
    return {
      id: each.id, kind: SEVERITIES[each.severity] ?? "run", glyph: GLYPHS[each.kind] ?? "info", title: each.sentence,
      why: [each.meaning, each.act].filter(Boolean).join(" "), since: num(each.since_unix_us), act: OPENS[to.page] ?? "Open", to,
    };
  });
}

export type Verdict =
  | { kind: "none" }          // nobody has connected or submitted yet
  | { kind: "no-worker" | "fallback" | "well" | "stuck" }
  | { kind: "catching-up"; empty: number }
  | { kind: "piling-up"; growth: number };

export function verdict(world: World): Verdict {
  const { status } = world;
  if (!status) return { kind: "none" };
  const waiting = num(status.waiting);
  if (num(status.submitted) === 0 && status.workers_total === 0) return { kind: "none" };
  if (status.workers_ready === 0) return { kind: "no-worker" };
  if (status.fallback) return { kind: "fallback" };
  const never = num(status.waiting_no_worker) + num(status.waiting_held) + num(status.waiting_paused);
  if (waiting === 0) return { kind: "well" };
  if (waiting <= never) return { kind: "stuck" };
  const growth = trend(world.history) ?? 0;
  const arrived = recentRate(world.history, "arrived") ?? 0;
  if (growth > Math.max(1, 0.05 * arrived)) return { kind: "piling-up", growth };
  const empty = num(status.drain_eta_unix_us);
  return empty > num(status.now_unix_us) ? { kind: "catching-up", empty } : { kind: "well" };
}
