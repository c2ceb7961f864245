// What the server answers, by the description of its API (web/api/openapi.json; openapi.gen.d.ts is made from it). Below are
// the parts that not every server offers yet: what shows them looks whether they are there.

import type { components, paths } from "./openapi.gen.d.ts";

type Schemas = components["schemas"];
type Scalar = string | number | boolean;

// In an answer each plain field is there, 64-bit numbers are text; messages, lists and maps may be left out.
export type Told<T> = [T] extends [Scalar] ? (string extends T ? (number extends T ? string : T) : T)
  : T extends readonly (infer Each)[] ? Told<Each>[]
  : T extends object ? (string extends keyof T ? { [key: string]: Told<T[keyof T]> } : Message<T>) : T;
type Message<T> = {
  [K in keyof T as [NonNullable<T[K]>] extends [Scalar] ? K : never]-?: Told<NonNullable<T[K]>>;
} & {
  [K in keyof T as [NonNullable<T[K]>] extends [Scalar] ? never : K]?: Told<NonNullable<T[K]>>;
};

// The routes that answer to a verb, what they take and what they answer.
export type Verb = "get" | "post" | "put" | "delete";
export type Served<V extends Verb> = { [P in keyof paths]: paths[P] extends Record<V, { responses: unknown }> ? P : never }[keyof paths] & string;
type Json<R, S extends number> = R extends Record<S, { content: { "application/json": infer T } }> ? T : never;
type Responses<P extends string, V extends Verb> = P extends keyof paths ? paths[P] extends Record<V, { responses: infer R }> ? R : never : never;
export type AnswerOf<P extends string, V extends Verb> = Told<Json<Responses<P, V>, 200> | Json<Responses<P, V>, 202>>;
export type NamesIn<P extends string> = P extends `${string}{${infer Name}}${infer Rest}` ? Name | NamesIn<Rest> : never;
type QueryIn<O> = O extends { parameters: { query?: infer Q } } ? (NonNullable<Q> extends never ? never : keyof NonNullable<Q>) : never;
export type QueryOf<P extends string, V extends Verb> = P extends keyof paths ? paths[P] extends Record<V, infer O> ? QueryIn<O> & string : never : never;
export type BodyOf<P extends string, V extends Verb> = P extends keyof paths
  ? paths[P] extends Record<V, { requestBody?: { content: { "application/json": infer B } } }> ? B : undefined : undefined;

export type I64 = string;

export type Estimate = Told<Schemas["Estimate"]>;
export type Eta = Told<Schemas["Eta"]>;
export type Waiting = Told<Schemas["Waiting"]>;
export type Attempt = Told<Schemas["Attempt"]> & Partial<{ predicted_p90_us: I64; source: string }>;
export type TaskSpec = Told<Schemas["TaskSpec"]>;
export type Task = Omit<Told<Schemas["Task"]>, "attempts"> & { attempts?: Attempt[]; waits?: Wait[]; estimates?: PastEstimate[]; spec?: TaskSpec };
export type TaskPage = Omit<Told<Schemas["ListTasksResponse"]>, "tasks"> & { tasks?: Task[] };
export type Candidate = Told<Schemas["Candidate"]>;
export type Decision = Told<Schemas["Decision"]> & { outcome?: { run_us: I64; regret_us?: I64; result?: string; ended_unix_us?: I64 } };
export type DecisionPage = Omit<Told<Schemas["ListDecisionsResponse"]>, "decisions"> & { decisions?: Decision[] };
export type Explanation = Omit<Told<Schemas["Explanation"]>, "task" | "decision"> & { task: Task; decision?: Decision }
  & Partial<{ baseline_finish_unix_us: I64; second_finish_unix_us: I64; overtaken_until_unix_us: I64 }>;
export type Worker = Told<Schemas["Worker"]> & Partial<{
  state_since_unix_us: I64; state_author: string; state_reason: string; breaker_since_unix_us: I64; next_trial_unix_us: I64;
  failures_recent: number; empty_at_unix_us: I64; runs_recent: WorkerRun[];
}>;
export type WorkerList = { workers?: Worker[] };
export type TypeStat = Told<Schemas["TypeStat"]> & Partial<{ slot_time_us: I64 }>;
export type TypeList = Omit<Told<Schemas["ListTypesResponse"]>, "types"> & { types?: TypeStat[] };
export type Status = Told<Schemas["Status"]> & Partial<{
  waiting_by: { reason: string; count: I64; culprit: string }[]; oldest_waiting_unix_us: I64; wait_p50_us: I64; wait_p99_us: I64;
  drain_eta_p10_unix_us: I64; drain_eta_p90_unix_us: I64; idle_while_waiting_us: I64; fallback_since_unix_us: I64;
  server_name: string; store_bytes: I64; disk_free_bytes: I64; disk_full_unix_us: I64;
}>;
export type ConfigChange = Told<Schemas["ConfigChange"]>;
export type SchedulerConfig = Told<Schemas["SchedulerConfig"]>;
export type ConfigVersion = Told<Schemas["ConfigVersion"]>;
export type Queue = Told<Schemas["Queue"]>;
export type Policy = Told<Schemas["Policy"]>;
export type Override = Told<Schemas["Override"]>;
export type AuditEntry = Told<Schemas["AuditEntry"]>;
export type AuditPage = Told<Schemas["ListAuditResponse"]>;
export type AuditVerdict = Told<Schemas["VerifyAuditResponse"]>;
export type ChangedTasks = Told<Schemas["ChangeTasksResponse"]>;

// What not every server offers.
export interface Wait { reason: string; culprit: string; from_unix_us: I64; to_unix_us: I64 }
export interface PastEstimate { at_unix_us: I64; p50_us: I64; p90_us: I64; source: string; when: string }
export interface Identity { name: string; roles?: string[]; tenant: string; how: string; token_id: string; expires_unix_us: I64; open: boolean }
export interface Series { from_unix_us: I64; step_us: I64; names: string[]; values: (number | null)[][] }
export interface ToldNeed {
  id: string; severity: string; kind: string; object: string; since_unix_us: I64; sentence: string; meaning: string; act: string; target: string;
}
export interface Attention { verdict?: { kind: string; sentence: string; cause: string; since_unix_us: I64 }; needs?: ToldNeed[] }
export interface Event { at_unix_us: I64; kind: string; sentence: string; task_id: string }
// One of the last attempts on a worker, the newest first.
export interface WorkerRun { at_unix_us: I64; task_id: string; type: string; run_us: I64; predicted_us: I64; outcome: string }
export interface Free { in_us: I64; p10: number; p50: number; p90: number }
export interface Run { at_unix_us: I64; task_id: string; worker: string; run_us: I64; p50_us: I64; p90_us: I64; size: number | I64 }
export interface Kept { promised: number; kept: number; n: number | I64 }
export interface Tenant {
  name: string; weight: number; entitled: number; got_15m: number; got_24h: number; waiting: I64; running: I64; running_max: I64;
}
export interface Limit { kind: string; key: string; tenant?: string; max: I64; used: I64; waiting: I64; next_unix_us: I64 }
export interface SettingHelp {
  key: string; type: string; unit: string; min: string | number | null; max: string | number | null; default: string; origin: string;
  live: boolean; help: string; value?: string;
}

// The routes of these, until they are described.
export interface LaterRoutes {
  "/v1/whoami": Identity;
  "/v1/series": Series;
  "/v1/attention": Attention;
  "/v1/fleet/free": { slots_free?: Free[] };
  "/v1/workers/{name}": Worker;
  "/v1/workers/{name}/events": { events?: Event[] };
  "/v1/types/{type}/events": { events?: Event[] };
  "/v1/types/{type}/runs": { runs?: Run[] };
  "/v1/types/{type}/reliability": { points?: Kept[]; ceiling: number };
  "/v1/tenants": { tenants?: Tenant[] };
  "/v1/limits": { limits?: Limit[] };
  "/v1/config/schema": { settings?: SettingHelp[] };
}
