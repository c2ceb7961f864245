// The list of tasks: which filter stands in the URL, and how new answers are merged while the reader is busy with it. Pure.

import type { Task } from "./wire.ts";
import { TASK_STATES } from "./words.ts";

export type Filter = Record<string, string>;
export const FILTER_KEYS = ["state", "type", "tenant", "queue", "worker", "from", "to", "q"] as const;

// "state=waiting type=thumb some text": words with a known key filter by it, the rest is searched for.
export function filterFrom(text: string): Filter {
  const filter: Filter = {};
  const rest: string[] = [];
  for (const word of text.trim().split(/\s+/).filter(Boolean)) {
    const [, key, value] = /^([a-z]+)=(.*)$/.exec(word) ?? [];
    if (key && key !== "q" && FILTER_KEYS.includes(key as "type")) filter[key] = value;
    else rest.push(word);
  }
  if (rest.length > 0) filter.q = rest.join(" ");
  return filter;
}
export function filterText(query: Filter): string {
  return FILTER_KEYS.filter((key) => query[key]).map((key) => (key === "q" ? query[key] : `${key}=${query[key]}`)).join(" ");
}

// What the server is asked for. Times are given as ISO text in the URL.
export function listQuery(query: Filter): Record<string, string | undefined> {
  const micros = (text: string | undefined) => {
    const ms = text ? Date.parse(text) : NaN;
    return Number.isNaN(ms) ? undefined : String(ms * 1000);
  };
  return {
    state: statesOf(query.state).join(",") || undefined, type: query.type, tenant: query.tenant, queue: query.queue, worker: query.worker,
    search: query.q, submitted_from_unix_us: micros(query.from), submitted_to_unix_us: micros(query.to),
  };
}
export function statesOf(text: string | undefined): string[] {
  return (text ?? "").split(",").filter((each) => TASK_STATES.includes(each));
}

export interface Rows { shown: readonly Task[]; newer: number }

// The newest page over what is shown. While the reader is in the list (`held`) no row comes or goes: those that are shown
// take their latest state, the others are counted.
export function merge(shown: readonly Task[], newest: readonly Task[], held: boolean): Rows {
  const latest = new Map(newest.map((each) => [each.id, each]));
  if (!held || shown.length === 0) {
    const known = new Set(newest.map((each) => each.id));
    const last = newest.at(-1);
    const older = last ? shown.slice(shown.findIndex((each) => each.id === last.id) + 1).filter((each) => !known.has(each.id)) : [];
    const follows = last !== undefined && shown.some((each) => each.id === last.id);
    return { shown: follows ? [...newest, ...older] : newest, newer: 0 };
  }
  const here = new Set(shown.map((each) => each.id));
  return { shown: shown.map((each) => latest.get(each.id) ?? each), newer: newest.filter((each) => !here.has(each.id)).length };
}

export function append(shown: readonly Task[], more: readonly Task[], most: number): readonly Task[] {
  const here = new Set(shown.map((each) => each.id));
  return [...shown, ...more.filter((each) => !here.has(each.id))].slice(0, most);
}
