// One place that writes times. All come from the server's clock, in microseconds since the epoch.

import { duration, predicted } from "./format.ts";

export type Zone = "utc" | "local";

const makers = new Map<string, Intl.DateTimeFormat>();
function maker(timeZone: string | undefined, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = `${timeZone}|${JSON.stringify(options)}`;
  let found = makers.get(key);
  if (!found) {
    found = new Intl.DateTimeFormat("en-GB", { hourCycle: "h23", timeZone, ...options });
    makers.set(key, found);
  }
  return found;
}

const HM = { hour: "2-digit", minute: "2-digit" } as const;
const HMS = { ...HM, second: "2-digit" } as const;

// A named zone is for tests; the page knows UTC and the one of the browser.
export function zoneName(zone: Zone | string): string | undefined {
  return zone === "utc" ? "UTC" : zone === "local" ? undefined : zone;
}

export function clock(us: number, zone: Zone | string, seconds = true): string {
  return maker(zoneName(zone), seconds ? HMS : HM).format(us / 1e3);
}

function part(us: number, zone: Zone | string, options: Intl.DateTimeFormatOptions): string {
  return maker(zoneName(zone), options).format(us / 1e3);
}

// 03:14:22; of another day 13 Oct 22:10; of another year 13 Oct 2025 22:10.
export function moment(us: number, now: number, zone: Zone | string): string {
  const day = { day: "numeric", month: "short", year: "numeric" } as const;
  if (part(us, zone, day) === part(now, zone, day)) return clock(us, zone);
  const sameYear = part(us, zone, { year: "numeric" }) === part(now, zone, { year: "numeric" });
  const date = part(us, zone, sameYear ? { day: "numeric", month: "short" } : day);
  return `${date} ${clock(us, zone, false)}`;
}

// Of what is predicted: a moment without seconds when it is further than ten minutes away.
export function predictedMoment(us: number, now: number, zone: Zone | string): string {
  if (Math.abs(us - now) < 600e6) return moment(us, now, zone);
  const text = moment(us, now, zone);
  return text.replace(/^(\d\d:\d\d):\d\d$/, "$1");
}

export function iso(us: number): string {
  return new Date(us / 1e3).toISOString();
}

export function isoTitle(us: number): string {
  return iso(us).replace("T", " ").replace("Z", " UTC");
}

export function ago(us: number, now: number): string {
  return now - us < 1e6 ? "now" : `${duration(now - us)} ago`;
}

export function until(us: number, now: number): string {
  return us - now < 5e5 ? "any moment" : `in ${predicted(us - now)}`;
}

// Ticks of a time axis: round steps, so that about one comes every 70 px.
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400];
export function timeTicks(from: number, to: number, places: number): number[] {
  const wanted = (to - from) / 1e6 / Math.max(1, places);
  const step = (STEPS.find((each) => each >= wanted) ?? 86400 * Math.ceil(wanted / 86400)) * 1e6;
  const ticks = [];
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) ticks.push(at);
  return ticks;
}
