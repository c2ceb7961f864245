// What is asked of the list of decisions, and what came of each. Pure.

import { num } from "./format.ts";
import type { Decision } from "./wire.ts";

const FILTERS = ["task", "worker", "type", "kind", "fallback", "regret", "from", "to"];

export interface Asked {
  task?: string; worker?: string; type?: string; kind?: string; fallback?: boolean; from_unix_us?: string; to_unix_us?: string;
}

function micros(text: string | undefined): string | undefined {
  const at = Date.parse(text ?? "");
  return Number.isNaN(at) ? undefined : String(at * 1000);
}

export function askedOf(query: Record<string, string>): Asked {
  return {
    task: query.task, worker: query.worker, type: query.type, kind: query.kind, fallback: query.fallback === "1" ? true : undefined,
    from_unix_us: micros(query.from), to_unix_us: micros(query.to),
  };
}
export function filterWords(query: Record<string, string>): string {
  return FILTERS.filter((each) => query[each]).map((each) => `${each}=${query[each]}`).join(" ");
}

// "10s", "2.5s", "500ms" or seconds, in microseconds; 0: nothing, or not a time.
export function spanOf(text: string | undefined): number {
  const found = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h)?$/.exec((text ?? "").trim());
  if (!found) return 0;
  return Number(found[1]) * { ms: 1e3, s: 1e6, m: 60e6, h: 3600e6 }[(found[2] ?? "s") as "s"];
}

// How far a run was from what had been predicted for it; null: not known (it has not ended, or nothing was predicted).
export function offBy(decision: Decision): number | null {
  const [took, predicted] = [num(decision.outcome?.run_us), num(decision.estimate?.p50_us)];
  return took > 0 && predicted > 0 ? took / predicted : null;
}
// What the choice cost against the best, as the server judges it afterwards.
export function regretOf(decision: Decision): number {
  return num(decision.outcome?.regret_us);
}
export function withRegret(decisions: readonly Decision[], least: number): Decision[] {
  return least > 0 ? decisions.filter((each) => regretOf(each) >= least) : [...decisions];
}
