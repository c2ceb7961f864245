// What a reader has chosen: theme, zone, keys. A parameter of the URL overrides the stored choice.

import { Cell } from "./cell.ts";
import { route, set } from "./router.ts";
import type { Zone } from "./time.ts";

function read(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}
export function keep(key: string, value: string): void {
  try {
    localStorage.setItem(key, value);
  } catch {
    // without storage the choice lasts as long as the page
  }
}
export { read as kept };

export type Theme = "light" | "dark";
const dark = matchMedia("(prefers-color-scheme: dark)");

function themeNow(): Theme {
  const wanted = route.value.place.query.theme ?? read("nexus.theme");
  return wanted === "light" || wanted === "dark" ? wanted : dark.matches ? "dark" : "light";
}
function zoneNow(): Zone {
  const wanted = route.value.place.query.tz ?? read("nexus.zone");
  return wanted === "local" ? "local" : "utc";
}

export const theme = new Cell<Theme>(themeNow());
export const zone = new Cell<Zone>(zoneNow());
export const keysOn = new Cell<boolean>(read("nexus.keys") !== "off");

function apply(): void {
  theme.set(themeNow());
  zone.set(zoneNow());
  document.documentElement.dataset.theme = theme.value;
  document.documentElement.classList.toggle("wall", route.value.place.query.wall === "1");
}
export function startPrefs(): void {
  apply();
  route.follow(apply);
  dark.addEventListener("change", apply);
}

export function chooseTheme(next: Theme): void {
  keep("nexus.theme", next);
  if (route.value.place.query.theme) set({ theme: undefined }, "replace");
  apply();
}
export function chooseZone(next: Zone): void {
  keep("nexus.zone", next);
  if (route.value.place.query.tz) set({ tz: undefined }, "replace");
  apply();
}
export function chooseKeys(on: boolean): void {
  keep("nexus.keys", on ? "on" : "off");
  keysOn.set(on);
}
