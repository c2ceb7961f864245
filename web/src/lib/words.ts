// The words of states, reasons and factors: the same as in the protocol and the command line.

import { num, plural } from "./format.ts";
import type { Task, Worker } from "./wire.ts";

export function stateOf(task: { state: string }): string {
  return task.state.replace("TASK_STATE_", "").toLowerCase();
}
export const ENDED = ["succeeded", "dead", "cancelled", "expired"];
export function hasEnded(task: { state: string }): boolean {
  return ENDED.includes(stateOf(task));
}
export const TASK_STATES = ["waiting", "assigned", "running", "paused", ...ENDED];

export function workerState(worker: Worker): string {
  return worker.state.replace("WORKER_STATE_", "").toLowerCase();
}
// What a person has to know first: gone, then the breaker, then its state.
export function condition(worker: Worker): string {
  const state = workerState(worker);
  return state === "gone" ? "gone" : breakerOpen(worker) ? "breaker" : state;
}
export function breakerOpen(worker: Worker): boolean {
  return worker.breaker !== "" && worker.breaker !== "closed";
}
// How much longer runs take there than elsewhere: 1 = as long, 2 = twice.
export function slowness(worker: Worker): number {
  return worker.speed > 0 ? 1 / worker.speed : 1;
}

export function reasonOf(waiting: { reason: string }): string {
  return waiting.reason.replace("WAIT_REASON_", "").toLowerCase();
}

const REASONS: Record<string, string> = {
  not_before: "start time",
  dependency: "comes after others",
  retry_backoff: "before the retry",
  held: "held",
  queue_paused: "queue is paused",
  ordering: "ordering key",
  concurrency: "concurrency limit",
  rate: "rate limit",
  no_eligible_worker: "no worker may run it",
  breaker: "breaker is open",
  capacity: "its turn",
  lease: "lost worker's lease",
};
export function reasonWord(reason: string): string {
  return REASONS[reason] ?? reason.replaceAll("_", " ");
}

// Of many tasks at once: what all of them wait for.
const REASONS_MANY: Record<string, string> = {
  not_before: "Their start time has not come", dependency: "Tasks they come after have not ended", retry_backoff: "A failed attempt is repeated soon",
  held: "An operator holds them", queue_paused: "Their queue is paused", ordering: "An earlier task of their ordering key runs",
  concurrency: "A concurrency limit is used up", rate: "A rate limit lets one through at a time", no_eligible_worker: "No connected worker may run them",
  breaker: "Who may run them stands behind a breaker", capacity: "All workers that may run them are busy", lease: "Their worker fell silent",
};
export function reasonMany(reason: string): string {
  return REASONS_MANY[reason] ?? reasonWord(reason);
}

export function waitsFor(task: Task): string {
  if (!task.waiting) return "";
  const word = reasonWord(reasonOf(task.waiting));
  return task.waiting.culprit ? `${word}: ${task.waiting.culprit}` : word;
}

// Factors of a decision, largest lightness step first; the others follow by name.
export const FACTORS: Record<string, [string, number]> = {
  utilization: ["use of the last minutes", 8],
  load: ["slots taken now", 6],
  band: ["suits long tasks", 4],
  speed: ["speed", 2],
  preference: ["preferred labels", 1],
};
export function factorWord(name: string): string {
  return FACTORS[name]?.[0] ?? name.replaceAll("_", " ");
}
export function factorShade(name: string): number {
  return FACTORS[name]?.[1] ?? 5;
}

export const EXPERTS: Record<string, string> = {
  type_mode: "the type's last runs",
  user_mode: "this tenant's last runs",
  scaled_mode: "runs carried over to this size",
  near_mode: "runs of nearly this size",
  joined_mode: "the tenant's other types, too",
  worker_mode: "runs on this worker",
};

export const EXCLUSIONS: Record<string, string> = {
  busy: "may run it, all slots taken",
  no_free_slot: "may run it, all slots taken",
  free: "may run it, with a free slot",
  type: "do not take this type",
  labels: "lack a label that it requires",
  resources: "have too few resources for it",
  pin: "are not the one that it is pinned to",
  breaker: "stand behind an open breaker",
  cordoned: "are cordoned",
  draining: "are draining",
  suspect: "are silent",
  gone: "are gone",
};
export function exclusionWord(reason: string): string {
  return EXCLUSIONS[reason] ?? reason.replaceAll("_", " ");
}

// Why the last attempt failed, in a few words.
export function outcomeWord(outcome: string): string {
  return outcome.replaceAll("_", " ");
}

export function sinceStart(task: Task, now: number): number {
  const attempt = task.attempts?.at(-1);
  const started = num(attempt?.started_unix_us);
  if (!attempt || started === 0) return 0;
  return num(attempt.run_us) || Math.max(0, (num(attempt.ended_unix_us) || now) - started);
}
export function waited(task: Task, now: number): number {
  if (num(task.wait_us) > 0) return num(task.wait_us);
  const first = task.attempts?.find((each) => num(each.started_unix_us) > 0);
  const end = first ? num(first.started_unix_us) : num(task.finished_unix_us) || now;
  return Math.max(0, end - num(task.submitted_unix_us));
}

// With a capital and a full stop.
export function sentence(text: string): string {
  const first = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(first) ? first : first + ".";
}

export { plural };
