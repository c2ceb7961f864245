// What the server answers, by the description of its API (web/api/openapi.json; openapi.gen.d.ts is made from it).

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
export type Waiting = Told<Schemas["Waiting"]>;
export type Attempt = Told<Schemas["Attempt"]>;
export type TaskSpec = Told<Schemas["TaskSpec"]>;
export type Task = Told<Schemas["Task"]>;
export type Wait = Told<Schemas["TaskWait"]>;
export type TaskPage = Told<Schemas["ListTasksResponse"]>;
export type Decision = Told<Schemas["Decision"]>;
export type DecisionPage = Told<Schemas["ListDecisionsResponse"]>;
// Nothing is explained but a task.
export type Explanation = Told<Schemas["Explanation"]> & { task: Task };
export type Worker = Told<Schemas["Worker"]>;
export type WorkerRun = Told<Schemas["WorkerRun"]>;  // one of the last attempts on a worker, the newest first
export type TypeStat = Told<Schemas["TypeStat"]>;
export type TypeList = Told<Schemas["ListTypesResponse"]>;
export type Run = Told<Schemas["TypeRun"]>;
export type Kept = Told<Schemas["ReliabilityPoint"]>;
export type Event = Told<Schemas["HappenedEvent"]>;
export type Status = Told<Schemas["Status"]>;
export type Series = Told<Schemas["Series"]>;
export type Attention = Told<Schemas["Attention"]>;
export type ConfigChange = Told<Schemas["ConfigChange"]>;
export type ConfigVersion = Told<Schemas["ConfigVersion"]>;
export type SettingHelp = Told<Schemas["SettingInfo"]>;
export type Queue = Told<Schemas["Queue"]>;
export type Tenant = Told<Schemas["Tenant"]>;
export type Limit = Told<Schemas["Limit"]>;
export type Policy = Told<Schemas["Policy"]>;
export type Override = Told<Schemas["Override"]>;
export type AuditEntry = Told<Schemas["AuditEntry"]>;
export type AuditPage = Told<Schemas["ListAuditResponse"]>;
export type AuditVerdict = Told<Schemas["VerifyAuditResponse"]>;
export type ChangedTasks = Told<Schemas["ChangeTasksResponse"]>;
export type Identity = Told<Schemas["Identity"]>;
export type Free = Told<Schemas["SlotsFree"]>;
