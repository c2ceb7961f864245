// The event stream, and the server's clock. A page has one stream with the topics that it shows; all tabs of a browser share
// it, since a browser has six connections to a server: the tab that holds the lock reads what all of them want, and tells the
// others. A hidden tab wants nothing after half a minute.

import { Problem, type Path, get, shedUntil, signedOut } from "./api.ts";
import { Cell } from "./cell.ts";
import { type Fleet, type FleetFrame, follow } from "./columns.ts";
import { num } from "./format.ts";
import { NOTHING, type World, addStatus } from "./frames.ts";
import { me, seesFleet } from "./identity.ts";
import { root } from "./router.ts";
import { Events, union } from "./stream.ts";
import type { Status } from "./wire.ts";

// denied: the stream is not for this caller; shed: the server has no room for it now.
export type LinkState = "connecting" | "live" | "off" | "shed" | "denied";
export interface Link {
  state: LinkState;
  since: number;    // browser's milliseconds
  nextTry: number;  // of one that is off or shed
  backAt: number;   // when it came back after a loss; 0 = never lost
}
// What a topic told last.
export interface Heard { data?: unknown; problem?: Problem; at: number }

export const link = new Cell<Link>({ state: "connecting", since: Date.now(), nextTry: 0, backAt: 0 });
export const world = new Cell<World>(NOTHING);
export const paused = new Cell(false);       // drawing, not the stream
export const updated = new Cell("");         // the version that the server has now, when it is another than at the start
export const tick = new Cell(0);             // one a second: what is drawn from the clock is drawn anew

const ALWAYS = ["status", "attention"];      // of the frame around every page
const HIDDEN_MS = 30_000;
const QUIET_MS = 8_000;     // nothing for so long is a lost connection, whatever the browser thinks
const SILENT_MS = 25_000;   // the same, where only comments may come
const RETRY_MAX_MS = 30_000;
const FIRST_MS = 300;
const NEW_MS = 20;          // until a stream with other topics is opened: what one page wants comes together
const DROP_MS = 5_000;      // the same, when there is only something to leave out
const WISH_MS = 10_000;     // how often other tabs say again what they want
const FORGET_MS = 35_000;

let clockAhead = 0;           // server less browser, microseconds
let behind: World = NOTHING;  // the newest, also while drawing is paused

export function serverNow(): number {
  return Date.now() * 1000 + clockAhead;
}
export function skew(): number {
  return clockAhead;
}

// ---- what is shown

interface Topic { shown: Cell<Heard>; newest: Heard; views: number }
const topics = new Map<string, Topic>();

// What the topic tells, for as long as somebody wants it.
export function want(name: string): { cell: Cell<Heard>; leave: () => void } {
  const known = topics.get(name) ?? { shown: new Cell<Heard>({ at: 0 }), newest: { at: 0 }, views: 0 };
  topics.set(name, known);
  if (known.views++ === 0) wish(NEW_MS);
  return {
    cell: known.shown,
    leave: () => {
      if (--known.views > 0) return;
      setTimeout(() => known.views === 0 && topics.get(name) === known && topics.delete(name), DROP_MS);
      wish(DROP_MS);
    },
  };
}

// Asked for once, out of turn: somebody changed it.
export async function refresh<T>(name: string, path: Path<T>): Promise<void> {
  const answer = await get<T>(path).then((data): Heard => ({ data, at: Date.now() }), (problem): Heard => ({ ...topics.get(name)?.newest, problem, at: Date.now() }));
  heard(name, answer);
}

function heard(name: string, what: Heard): void {
  const topic = topics.get(name);
  if (!topic) return;
  topic.newest = what;
  if (!paused.value || topic.shown.value.at === 0) topic.shown.set(what);
}
export function pause(on: boolean): void {
  paused.set(on);
  if (on) return;
  world.set(behind);
  for (const topic of topics.values()) topic.shown.set(topic.newest);
}

function status(told: Status): void {
  clockAhead = num(told.now_unix_us) - Date.now() * 1000;
  if (behind.status && behind.status.version !== told.version) updated.set(told.version);
  behind = addStatus(behind, told);
  if (!paused.value || world.value.frames === 0) world.set(behind);
}

// False: it builds on what was missed.
function take(event: string, data: string): boolean {
  const told = JSON.parse(data);
  const now = Date.now();
  if (event === "error") {
    const problem = new Problem(told.status ?? 0, told.title ?? "Error", told.detail ?? "", told.code ?? "", told.field ?? "", told.trace_id ?? "");
    if (problem.busy) shedUntil.set(now + 8000);
    heard(told.topic ?? "", { data: topics.get(told.topic)?.newest.data, problem, at: now });
    return true;
  }
  if (event === "fleet") return whole(follow(fleet, told as FleetFrame));
  heard(event, { data: told, at: now });
  if (event === "status") status(told as Status);
  return true;
}
let fleet: Fleet | undefined;  // kept for other tabs, too
function whole(next: Fleet | null): boolean {
  fleet = next ?? undefined;
  if (next) heard("fleet", { data: next, at: Date.now() });
  return next !== null;
}

// ---- who reads the stream

type Word =
  | { kind: "want"; tab: string; topics: string[] }  // also: none any more
  | { kind: "who" }                                  // the tab that reads is another one
  | { kind: "told"; event: string; data: string }
  | { kind: "fleet"; fleet: Fleet }                  // whole, for who came later
  | { kind: "link"; link: Link }
  | { kind: "try" };
const NAME = `nexus.live ${root.pathname}`;
const TAB = crypto.getRandomValues(new Uint32Array(2)).join("-");
const others = "BroadcastChannel" in window ? new BroadcastChannel(NAME) : null;
const say = (word: Word) => others?.postMessage(word);

let asking: AbortController | null = null;   // to be the tab that reads the stream
let release: (() => void) | null = null;     // held by that tab
let leads = false;
let gone = false;                            // hidden for long: nothing is wanted
const wishes = new Map<string, { topics: string[]; at: number }>();  // of other tabs
const latest = new Map<string, string>();    // what the stream told last, for who comes later

function own(): string[] {
  if (gone) return [];
  const wanted = [...topics].filter(([, each]) => each.views > 0).map(([name]) => name);
  return seesFleet(me.value) ? [...ALWAYS, ...wanted] : wanted.filter((name) => /^tasks?\b/.test(name));
}
let wishTimer = 0;
let wishAt = 0;
function wish(within: number): void {
  if (wishTimer && wishAt <= Date.now() + within) return;
  clearTimeout(wishTimer);
  wishAt = Date.now() + within;
  wishTimer = window.setTimeout(() => {
    wishTimer = 0;
    if (leads) adjust();
    else say({ kind: "want", tab: TAB, topics: own() });
  }, within);
}

function join(): void {
  if (asking || leads) return;
  if (!others || !navigator.locks) return lead();
  const mine = new AbortController();
  asking = mine;
  navigator.locks.request(NAME, { signal: mine.signal }, () => new Promise<void>((done) => {
    asking = null;
    release = done;
    lead();
  })).catch(() => undefined);
  say({ kind: "want", tab: TAB, topics: own() });
}
function lead(): void {
  leads = true;
  wishes.clear();
  say({ kind: "who" });
  wish(FIRST_MS);  // sooner when a page wants something
}
function leave(): void {
  gone = true;
  say({ kind: "want", tab: TAB, topics: [] });
  leads = false;
  close();
  asking?.abort();
  asking = null;
  release?.();
  release = null;
}

// ---- the stream

let stream: AbortController | null = null;
let streamed: string[] = [];  // its topics
let lastId = "";
let tries = 0;
let lastHeard = 0;
let retryTimer = 0;

function close(): void {
  clearTimeout(retryTimer);
  stream?.abort();
  stream = null;
  streamed = [];
}

// The stream has the topics that are wanted now, or is opened anew.
function adjust(): void {
  for (const [tab, each] of wishes) if (Date.now() - each.at > FORGET_MS) wishes.delete(tab);
  const wanted = union([own(), ...[...wishes.values()].map((each) => each.topics)]);
  if (stream && wanted.length === streamed.length && wanted.every((name) => streamed.includes(name))) return;
  if (link.value.state === "off" || link.value.state === "shed") {
    if (retryTimer) return;  // what is wanted is looked at then
  }
  open(wanted);
}

function open(wanted: string[]): void {
  close();
  retryTimer = 0;
  if (wanted.length === 0) return set({ state: seesFleet(me.value) ? "connecting" : "denied" });
  for (const name of latest.keys()) if (!wanted.includes(name)) latest.delete(name);
  const mine = new AbortController();
  stream = mine;
  streamed = wanted;
  lastHeard = Date.now();
  void read(mine, wanted).then((problem) => mine === stream && lost(problem), () => mine === stream && lost(null));
}

async function read(mine: AbortController, wanted: string[]): Promise<Problem | null> {
  const where = new URL("v1/live", root);
  where.searchParams.set("topics", wanted.join(","));
  const headers: Record<string, string> = { Accept: "text/event-stream" };
  if (lastId !== "") headers["Last-Event-ID"] = lastId;
  const answer = await fetch(where, { headers, signal: mine.signal, credentials: "same-origin", cache: "no-store" });
  if (!answer.ok || !answer.body) {
    await answer.body?.cancel();
    return new Problem(answer.status, "", "", "", "", "", Number(answer.headers.get("Retry-After") ?? 0));
  }
  const events = new Events();
  const text = new TextDecoder();
  const reader = answer.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done || mine !== stream) return null;
    lastHeard = Date.now();
    for (const told of events.take(text.decode(value, { stream: true }))) {
      if (told.event === "error" && !told.data.includes('"topic":')) return new Problem(JSON.parse(told.data).status ?? 0, "", "", "");
      if (link.value.state !== "live") alive();
      lastId = told.id || lastId;
      if (told.event === "gap") fleet = undefined;  // a whole one follows
      else tell(told.event, told.data);
    }
    if (link.value.state !== "live") alive();
  }
}

function tell(event: string, data: string): void {
  if (event !== "error") latest.set(event, data);
  say({ kind: "told", event, data });
  if (take(event, data)) return;
  lastId = "";  // begin with a whole one
  const wanted = streamed;
  queueMicrotask(() => leads && open(wanted));
}

function set(change: Partial<Link> & { state: LinkState }): void {
  const since = change.state === link.value.state ? link.value.since : Date.now();
  link.set({ ...link.value, nextTry: 0, ...change, since });
  if (leads) say({ kind: "link", link: link.value });
}
function alive(): void {
  tries = 0;
  set({ state: "live", backAt: link.value.state === "off" ? Date.now() : link.value.backAt });
}
function lost(problem: Problem | null): void {
  close();
  const code = problem?.status ?? 0;
  if (code === 401) signedOut.set(true);
  if (code === 401 || code === 403) return set({ state: "denied" });  // trying again would change nothing; signing in does
  const busy = code === 429 || code === 503;
  let wait = Math.min(RETRY_MAX_MS, 1000 * 2 ** Math.min(tries++, 5)) * (0.5 + Math.random());
  if (busy) {
    wait = Math.max(4 * wait, 1000 * (problem?.retryAfter ?? 0));
    shedUntil.set(Date.now() + Math.max(8000, wait));
  }
  set({ state: busy ? "shed" : "off", nextTry: Date.now() + wait });
  retryTimer = window.setTimeout(() => {
    retryTimer = 0;
    adjust();
  }, wait);
}

export function tryNow(): void {
  if (!leads && others) return say({ kind: "try" });
  clearTimeout(retryTimer);
  retryTimer = 0;
  close();
  adjust();
}

function hear(word: Word): void {
  if (leads) {
    if (word.kind === "try") tryNow();
    if (word.kind !== "want") return;
    const before = wishes.get(word.tab)?.topics ?? [];
    if (word.topics.length === 0) wishes.delete(word.tab);
    else wishes.set(word.tab, { topics: word.topics, at: Date.now() });
    say({ kind: "link", link: link.value });
    for (const name of word.topics.filter((each) => !before.includes(each))) {
      const data = latest.get(name);
      if (name === "fleet" && fleet) say({ kind: "fleet", fleet });
      else if (data !== undefined && name !== "fleet") say({ kind: "told", event: name, data });
    }
    return wish(NEW_MS);
  }
  lastHeard = Date.now();
  if (word.kind === "who") say({ kind: "want", tab: TAB, topics: own() });
  else if (word.kind === "link") link.set(word.link);
  else if (word.kind === "fleet") whole(word.fleet);
  else if (word.kind === "told" && !take(word.event, word.data)) {  // again, and as if it were new
    say({ kind: "want", tab: TAB, topics: own().filter((each) => each !== "fleet") });
    wish(NEW_MS);
  }
}

export function startLive(): void {
  if (others) others.onmessage = (event) => hear(event.data);
  lastHeard = Date.now();
  join();
  let turns = 0;
  setInterval(() => {
    const quiet = Date.now() - lastHeard > (streamed.includes("status") || !leads ? QUIET_MS : SILENT_MS);
    if (leads && stream && quiet) lost(null);
    if (!leads && !gone && quiet && link.value.state === "live") set({ state: "off", nextTry: Date.now() + RETRY_MAX_MS });
    if (!leads && !gone && ++turns % (WISH_MS / 1000) === 0) say({ kind: "want", tab: TAB, topics: own() });
    if (!paused.value) tick.set(tick.value + 1);
  }, 1000);
  let hiddenTimer = 0;
  const back = () => {
    gone = false;
    join();
    wish(NEW_MS);
  };
  document.addEventListener("visibilitychange", () => {
    clearTimeout(hiddenTimer);
    if (document.hidden) hiddenTimer = window.setTimeout(leave, HIDDEN_MS);
    else back();
  });
  // A page that the browser keeps for "back" must not keep a connection.
  addEventListener("pagehide", leave);
  addEventListener("pageshow", (event) => event.persisted && back());
  // Who signed in sees other things, and may be let in.
  me.follow(() => wish(stream ? NEW_MS : FIRST_MS));
  signedOut.follow((out) => !out && link.value.state !== "live" && tryNow());
}
