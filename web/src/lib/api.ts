// Requests to the server, below the page's base path. A refusal is a Problem (RFC 9457).

import { Cell } from "./cell.ts";
import { root } from "./router.ts";
import type { AnswerOf, BodyOf, Explanation, NamesIn, QueryOf, Served } from "./wire.ts";

export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly title: string,
    readonly detail: string,
    readonly code: string,
    readonly field = "",
    readonly trace = "",
    readonly retryAfter = 0,
  ) {
    super(detail || title);
  }
  // The route itself does not exist: an older server, or a part that is switched off.
  get notOffered(): boolean {
    return (this.status === 404 && this.detail.startsWith("nothing is served")) || this.status === 405 || this.status === 501;
  }
  get busy(): boolean {
    return this.status === 429 || this.status === 503;
  }
}

export const signedOut = new Cell(false);   // the server wants to know who this is
export const shedUntil = new Cell(0);       // the page asks less often until then, in the browser's milliseconds

// What a sign-in left in a cookie for this page alone; it accompanies each change, so that no other site can make one.
function guard(): string {
  return /(?:^|; )nexus_csrf=([^;]*)/.exec(document.cookie)?.[1] ?? "";
}

type Query<K extends string = string> = Partial<Record<K, string | number | boolean | undefined>>;
type Names<P extends string> = Record<NamesIn<P>, string>;

// A path with its query, and by its type what it answers.
export type Path<T> = string & { readonly answers?: T };

export function pathOf<P extends Served<"get">>(route: P, names: Names<P>, query: Query<QueryOf<P, "get">> = {}): Path<AnswerOf<P, "get">> {
  return written(route, names, query);
}
// Nothing is explained but a task.
export function explainPath(id: string): Path<Explanation> {
  return pathOf("/v1/tasks/{id}/explain", { id }) as string as Path<Explanation>;
}

function written(route: string, names: Record<string, string>, query: Query): string {
  const path = route.slice(1).replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(names[name]));
  const given = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) if (value !== undefined && value !== "") given.set(key, String(value));
  const text = given.toString();
  return text === "" ? path : `${path}?${text}`;
}

export async function get<T>(path: Path<T>, signal?: AbortSignal): Promise<T> {
  return ask<T>("GET", path, undefined, signal);
}

export async function send<V extends "post" | "put" | "delete", P extends Served<V>>(
  verb: V, route: P, names: Names<P>, body: BodyOf<P, V>, query: Query<QueryOf<P, V>> = {},
): Promise<AnswerOf<P, V>> {
  return ask(verb.toUpperCase(), written(route, names, query), body);
}

// A token becomes a session of this browser; without one the session ends.
export async function session(token?: string): Promise<void> {
  await (token === undefined ? send("delete", "/v1/session", {}, undefined) : send("post", "/v1/session", {}, { token }));
}
async function ask<T>(verb: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  const headers: Record<string, string> = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (verb !== "GET") {
    headers["Idempotency-Key"] = randomKey();
    if (guard()) headers["X-Nexus-CSRF"] = guard();
  }
  let answer: Response;
  try {
    answer = await fetch(new URL(path, root), {
      method: verb, headers, signal: signal ?? AbortSignal.timeout(20_000), credentials: "same-origin",
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(0, "No answer", "The server did not answer.", "NO_ANSWER");
  }
  if (!answer.ok) throw await problemOf(answer);
  return (answer.headers.get("Content-Type") ?? "").includes("json") ? answer.json() : ((await answer.text()) as T);
}

async function problemOf(answer: Response): Promise<Problem> {
  const text = await answer.text().catch(() => "");
  const told = objectOf(text);
  const retryAfter = Number(answer.headers.get("Retry-After") ?? 0);
  const problem = new Problem(answer.status, told.title ?? `Status ${answer.status}`, told.detail ?? text, told.code ?? "",
                              told.field ?? "", told.trace_id ?? "", retryAfter);
  if (problem.status === 401) signedOut.set(true);
  // Only the API refuses for being busy: a check that fails is a 503, too, and no reason to ask less.
  if (problem.busy && told.code) shedUntil.set(Date.now() + 1000 * Math.max(8, retryAfter));
  return problem;
}

function objectOf(text: string): Partial<Record<string, string>> {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}

function randomKey(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((each) => each.toString(16).padStart(2, "0")).join("");
}
