// What needs a person, and the verdict, from what the server tells about itself. Pure.

import { type World, recentRate, trend } from "./frames.ts";
import { count, duration, num, share } from "./format.ts";
import type { Place } from "./url.ts";
import { at, parse } from "./url.ts";
import type { Attention, TypeStat } from "./wire.ts";
import { breakerOpen, plural, sentence, workerState } from "./words.ts";

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

// Order: work stops > promises break > waste > notices.
export function needs(world: World, types: readonly TypeStat[]): Need[] {
  const { status, workers } = world;
  if (!status) return [];
  const found: Need[] = [];
  const add = (need: Need) => found.push(need);
  const stuck = num(status.waiting_no_worker);
  if (num(status.waiting) > 0 && status.workers_ready === 0)
    add({ id: "no-worker", kind: "bad", glyph: "dead", title: "No worker is ready", since: 0, act: "Open fleet", to: at("fleet"),
          why: `${plural(num(status.waiting), "task")} wait, and nothing can start until a worker connects.` });
  if (status.fallback)
    add({ id: "fallback", kind: "bad", glyph: "drift", title: "Predictions fail: round-robin decides", since: 0, act: "Open status",
          to: at("status"), why: "Tasks run as before, without predictions in their order and placement." });
  const open = workers.filter((each) => breakerOpen(each) && workerState(each) !== "gone");
  if (open.length > 0)
    add({ id: "breaker", kind: "bad", glyph: "breaker", since: 0, act: open.length === 1 ? "See it" : "See them",
          title: open.length === 1 ? `${open[0].name} stands behind an open breaker`
                                   : `${count(open.length)} workers stand behind an open breaker: ${namesOf(open)}`,
          why: open[0].breaker_reason ? sentence(open[0].breaker_reason) : "Their work goes to others; single tasks try them out.",
          to: open.length === 1 ? at("workers", open[0].name) : at("fleet", "", { is: "breaker" }) });
  const silent = workers.filter((each) => workerState(each) === "suspect");
  if (silent.length > 0)
    add({ id: "suspect", kind: "warn", glyph: "suspect", since: Math.min(...silent.map((each) => num(each.last_heard_unix_us))),
          title: silent.length === 1 ? `${silent[0].name} is silent` : `${count(silent.length)} workers are silent: ${namesOf(silent)}`,
          why: "They get no new work. What they run is given to others when their leases end.", act: "See them",
          to: at("fleet", "", { is: "suspect" }) });
  if (stuck > 0 && status.workers_ready > 0)
    add({ id: "never", kind: "warn", glyph: "none", title: `${plural(stuck, "task")} can never run as things stand`, since: 0,
          why: `No connected worker may run ${stuck === 1 ? "it" : "them"}: a label, a resource, a type or a pin is missing.`, act: stuck === 1 ? "Show it" : "Show them",
          to: at("tasks", "", { state: "waiting" }) });
  for (const type of types.filter((each) => each.drifting).slice(0, 3))
    add({ id: `drift-${type.type}`, kind: "warn", glyph: "drift", title: `${type.type} takes another time than before`, since: 0,
          why: `It now takes ${duration(num(type.p50_us))}; ${share(type.within_25)} of its predictions hit.`, act: "Open type",
          to: at("types", type.type) });
  const rivals = workers.filter((each) => each.rivals > 0);
  if (rivals.length > 0)
    add({ id: "rivals", kind: "warn", glyph: "warn", title: `Two processes want the name ${rivals[0].name}`,
          why: `The other one, on ${rivals[0].rival_hostname || "an unknown host"}, was refused ${plural(rivals[0].rivals, "time")}.`,
          since: num(rivals[0].rival_unix_us), act: "Open worker", to: at("workers", rivals[0].name) });
  if (num(status.waiting_paused) > 0)
    add({ id: "paused", kind: "run", glyph: "paused", title: `${plural(num(status.waiting_paused), "task")} wait in paused queues`,
          why: "They start when their queue is resumed.", since: 0, act: "Open queues", to: at("queues") });
  if (num(status.waiting_held) > 0)
    add({ id: "held", kind: "run", glyph: "limit", title: `An operator holds ${plural(num(status.waiting_held), "task")}`,
          why: "They start when the hold is cleared or expires.", since: 0, act: "See overrides", to: at("config", "", { show: "overrides" }) });
  if (num(status.history_dropped) > 0)
    add({ id: "history", kind: "run", glyph: "info", title: `${plural(num(status.history_dropped), "row")} of history were dropped`,
          why: "The history could not be written as fast as tasks ended. No task is affected.", since: 0, act: "Open status", to: at("status") });
  return found;
}

function namesOf(workers: readonly { name: string }[]): string {
  const names = workers.slice(0, 2).map((each) => each.name);
  return workers.length > 2 ? `${names.join(", ")} and ${workers.length - 2} more` : names.join(" and ");
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
