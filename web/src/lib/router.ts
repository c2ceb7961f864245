// Where the reader is. Choosing pushes a state, typing replaces it; back and forward walk them.

import { Cell } from "./cell.ts";
import { type PageName, type Parsed, type Place, at, parse, write } from "./url.ts";

// The server says with <base> how deep the page lies, so that it works below any path.
const element = document.querySelector("base");
export const root = new URL(document.baseURI);
if (element) element.href = root.href;

const KEPT = ["tz", "theme", "wall"];

function here(): Parsed {
  const below = location.pathname.startsWith(root.pathname) ? location.pathname.slice(root.pathname.length) : "";
  return parse(below, location.search);
}

export const route = new Cell<Parsed>(here());
addEventListener("popstate", () => route.set(here()));

// A view of the whole page, e.g. its theme, goes with the reader.
function kept(place: Place): Place {
  const query = { ...place.query };
  for (const key of KEPT) {
    const value = route.value.place.query[key];
    if (value && !(key in query)) query[key] = value;
  }
  return { ...place, query };
}

export function href(place: Place): string {
  return root.pathname + write(kept(place));
}
export function link(page: PageName, name = "", query: Record<string, string | undefined> = {}): string {
  return href(at(page, name, query));
}

export function go(place: Place, how: "push" | "replace" = "push"): void {
  const url = root.pathname + write(place);
  if (url === location.pathname + location.search) return;
  const moved = place.page !== route.value.place.page || place.name !== route.value.place.name;
  history[how === "push" ? "pushState" : "replaceState"](null, "", url);
  route.set(here());
  if (moved) {
    scrollTo(0, 0);
    document.getElementById("main")?.focus({ preventScroll: true });
  }
}

// Changes parameters of this place; an empty value drops one.
export function set(changes: Record<string, string | undefined>, how: "push" | "replace" = "push"): void {
  const { place } = route.value;
  const query = { ...place.query };
  for (const [key, value] of Object.entries(changes)) {
    if (value) query[key] = value;
    else delete query[key];
  }
  go({ ...place, query }, how);
}

// Links of the page are followed without loading it again.
export function followLinks(): void {
  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const anchor = (event.target as Element | null)?.closest?.("a");
    if (!anchor || anchor.target || anchor.hasAttribute("download")) return;
    const url = new URL(anchor.href);
    const below = url.origin === root.origin && url.pathname.startsWith(root.pathname) ? url.pathname.slice(root.pathname.length) : null;
    if (below === null || url.hash) return;
    const parsed = parse(below, url.search);
    if (!parsed.known) return;
    event.preventDefault();
    go(parsed.place);
  });
}
