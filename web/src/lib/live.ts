// The event stream, and the server's clock. All tabs of a browser share one stream, since a browser has six connections to
// a server: the tab that holds the lock reads it and tells the others. A hidden tab lets go of it after half a minute.

import { signedOut } from "./api.ts";
import { Cell } from "./cell.ts";
import { num } from "./format.ts";
import { NOTHING, type World, addStatus } from "./frames.ts";
import { root } from "./router.ts";
import type { Status, Task, Worker } from "./wire.ts";

export type LinkState = "connecting" | "live" | "off" | "denied";  // denied: the stream is not for this caller
export interface Link {
  state: LinkState;
  since: number;    // browser's milliseconds
  nextTry: number;  // of one that is off
  backAt: number;   // when it came back after a loss; 0 = never lost
}

export const link = new Cell<Link>({ state: "connecting", since: Date.now(), nextTry: 0, backAt: 0 });
export const world = new Cell<World>(NOTHING);
export const paused = new Cell(false);       // drawing, not the stream
export const updated = new Cell("");         // the version that the server has now, when it is another than at the start
export const tick = new Cell(0);             // one a second: what is drawn from the clock is drawn anew

const HIDDEN_MS = 30_000;
const QUIET_MS = 8_000;  // no frame for so long is a lost connection, whatever the browser thinks
const RETRY_MAX_MS = 30_000;

let source: EventSource | null = null;
let hiddenTimer = 0;
let retryTimer = 0;
let tries = 0;
let heard = 0;
let clockAhead = 0;  // server less browser, microseconds
let behind: World = NOTHING;  // the newest, also while drawing is paused

export function serverNow(): number {
  return Date.now() * 1000 + clockAhead;
}
export function skew(): number {
  return clockAhead;
}

function show(next: World): void {
  behind = next;
  if (!paused.value) world.set(next);
}

function status(told: Status): void {
  clockAhead = num(told.now_unix_us) - Date.now() * 1000;
  const first = behind.status;
  if (first && first.version !== told.version) updated.set(told.version);
  show(addStatus(behind, told));
}

const NAME = `nexus.live ${root.pathname}`;
const others = "BroadcastChannel" in window ? new BroadcastChannel(NAME) : null;
let wish: AbortController | null = null;     // to be the tab that reads the stream
let release: (() => void) | null = null;     // held by that tab

function join(): void {
  if (wish || release || source) return;
  if (!others || !navigator.locks) return open();
  const mine = new AbortController();
  wish = mine;
  navigator.locks.request(NAME, { signal: mine.signal }, () => new Promise<void>((done) => {
    wish = null;
    release = done;
    open();
  })).catch(() => undefined);
}

function leave(): void {
  source?.close();
  source = null;
  clearTimeout(retryTimer);
  wish?.abort();
  wish = null;
  release?.();
  release = null;
}

function take(name: string, data: string): void {
  heard = Date.now();
  if (link.value.state !== "live") alive();
  const told = JSON.parse(data);
  if (name === "status") status(told as Status);
  else if (name === "workers") show({ ...behind, workers: (told.workers ?? []) as Worker[] });
  else show({ ...behind, tasks: (told.tasks ?? []) as Task[] });
}

function open(): void {
  clearTimeout(retryTimer);
  source?.close();
  const mine = new EventSource(new URL("v1/live", root));
  source = mine;
  for (const name of ["workers", "tasks", "status"])
    mine.addEventListener(name, (event) => {
      const { data } = event as MessageEvent<string>;
      take(name, data);
      others?.postMessage({ name, data });
    });
  mine.addEventListener("open", () => (heard = Date.now()));
  mine.addEventListener("error", () => mine === source && lost());
  heard = Date.now();
}

function alive(): void {
  const wasLost = link.value.state === "off";
  tries = 0;
  link.set({ state: "live", since: Date.now(), nextTry: 0, backAt: wasLost ? Date.now() : link.value.backAt });
}

function lost(): void {
  source?.close();
  source = null;
  const wait = Math.min(RETRY_MAX_MS, 1000 * 2 ** Math.min(tries++, 5)) * (0.5 + Math.random());
  const since = link.value.state === "off" ? link.value.since : Date.now();
  link.set({ ...link.value, state: "off", since, nextTry: Date.now() + wait });
  clearTimeout(retryTimer);
  retryTimer = window.setTimeout(open, wait);
  others?.postMessage({ name: "lost", data: "" });
  void fetch(new URL("v1/status", root)).then((answer) => {
    if (answer.status === 401) signedOut.set(true);
    if (answer.status === 401 || answer.status === 403) denied();
  }, () => undefined);
}

// Trying again would change nothing; signing in does.
function denied(): void {
  clearTimeout(retryTimer);
  link.set({ ...link.value, state: "denied", since: Date.now(), nextTry: 0 });
  others?.postMessage({ name: "denied", data: "" });
}

export function tryNow(): void {
  if (others && !release) others.postMessage({ name: "try", data: "" });
  else open();
}
export function pause(on: boolean): void {
  paused.set(on);
  if (!on) world.set(behind);
}

function hear({ name, data }: { name: string; data: string }): void {
  if (name === "try") {
    if (release && link.value.state !== "live") open();
  } else if (release) return;
  else if (name === "denied") link.set({ ...link.value, state: "denied", since: Date.now(), nextTry: 0 });
  else if (name !== "lost") take(name, data);
  else if (link.value.state !== "off") link.set({ ...link.value, state: "off", since: Date.now(), nextTry: Date.now() + RETRY_MAX_MS });
}

export function startLive(): void {
  signedOut.follow((out) => !out && link.value.state !== "live" && tryNow());
  if (others) others.onmessage = (event) => hear(event.data);
  join();
  setInterval(() => {
    if (source && link.value.state !== "off" && link.value.state !== "denied" && Date.now() - heard > QUIET_MS) lost();
    if (!paused.value) tick.set(tick.value + 1);
  }, 1000);
  document.addEventListener("visibilitychange", () => {
    clearTimeout(hiddenTimer);
    if (document.hidden) hiddenTimer = window.setTimeout(leave, HIDDEN_MS);
    else join();
  });
  // A page that the browser keeps for "back" must not keep a connection.
  addEventListener("pagehide", leave);
  addEventListener("pageshow", (event) => event.persisted && join());
  signedOut.follow((out) => {
    if (!out && (release || !others)) open();
  });
}
