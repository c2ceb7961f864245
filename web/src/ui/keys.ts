// Single keys of the page. They never fire in a field, and can be switched off.

import { useEffect } from "preact/hooks";
import { pause, paused } from "../lib/live.ts";
import { chooseTheme, chooseZone, keysOn, theme, zone } from "../lib/prefs.ts";
import { go, route, set } from "../lib/router.ts";
import { at } from "../lib/url.ts";
import { PAGES } from "./pages.ts";

const FIELD = /^(input|textarea|select)$/i;
const RANGE = ["1m", "5m", "30m", "6h"];

export function useKeys(open: { find: () => void; help: () => void }): void {
  useEffect(() => {
    let leader = 0;  // when `g` was pressed
    const onKey = (event: KeyboardEvent) => {
      if ((event.ctrlKey || event.metaKey) && event.key === "k") {
        event.preventDefault();
        return open.find();
      }
      const target = event.target as HTMLElement;
      if (event.ctrlKey || event.metaKey || event.altKey || FIELD.test(target.tagName) || !keysOn.value || document.querySelector("dialog[open]")) return;
      if (Date.now() - leader < 1500) {
        leader = 0;
        const page = PAGES.find((each) => each.key === event.key)?.page ?? (event.key === "a" ? "audit" : undefined);
        if (page) {
          event.preventDefault();
          return go(at(page));
        }
      }
      const done = act(event.key, target);
      if (done) event.preventDefault();
      if (event.key === "g") leader = Date.now();
    };
    const act = (key: string, target: HTMLElement): boolean => {
      if (key === "/") return open.find(), true;
      if (key === "?") return open.help(), true;
      if (key === "t") return chooseTheme(theme.value === "dark" ? "light" : "dark"), true;
      if (key === "u") return chooseZone(zone.value === "utc" ? "local" : "utc"), true;
      if (key === " " && target.tagName !== "BUTTON" && target.tagName !== "SUMMARY") return pause(!paused.value), true;
      if (key === "f") return focusFilter();
      if (key === "[" || key === "]") return range(key === "]" ? 1 : -1);
      return false;
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, []);
}

function focusFilter(): boolean {
  const field = document.querySelector<HTMLInputElement>("[data-filter]");
  field?.focus();
  return field !== null;
}

function range(step: number): boolean {
  const { place } = route.value;
  if (place.page !== "overview") return false;
  const index = RANGE.indexOf(place.query.range ?? "5m");
  set({ range: RANGE[Math.min(RANGE.length - 1, Math.max(0, index + step))] });
  return true;
}
