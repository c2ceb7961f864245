// The URL holds all state of a page: which one, of what, and its parameters. This is the only place that reads and writes it.

export type PageName =
  | "overview" | "fleet" | "workers" | "tasks" | "types" | "queues" | "tenants" | "decisions" | "config" | "audit"
  | "status" | "signin";

// Parameters that a page knows. `tz`, `theme` and `wall` are known to all.
export const PARAMETERS: Record<PageName, readonly string[]> = {
  overview: ["range"],
  fleet: ["is", "color", "group", "view", "q", "worker", "sort"],
  workers: [],
  tasks: ["state", "type", "tenant", "queue", "worker", "q", "from", "to", "task"],
  types: ["sort"],
  queues: ["sort"],
  tenants: [],
  decisions: ["task", "worker", "type", "kind", "fallback", "regret", "from", "to"],
  config: ["at", "show"],
  audit: ["q", "from", "to"],
  status: [],
  signin: [],
};
const EVERYWHERE = ["tz", "theme", "wall"];
const NAMED: readonly PageName[] = ["workers", "tasks", "types", "queues", "tenants", "decisions"];

export interface Place {
  page: PageName;
  name: string;  // of the one thing that it is about; empty: the list
  query: Record<string, string>;
}

export interface Parsed {
  place: Place;
  ignored: string[];  // parameters that mean nothing there
  known: boolean;     // false: there is no such page
}

// `path` is below the base: "", "fleet", "tasks/01a2…".
export function parse(path: string, search: string): Parsed {
  const [first = "", second = "", ...more] = path.split("/");
  const page = (first === "" || first === "index.html" ? "overview" : first) as PageName;
  const known = page in PARAMETERS && more.length === 0 && (second === "" || NAMED.includes(page));
  const place: Place = { page: known ? page : "overview", name: known ? decoded(second) : "", query: {} };
  const ignored: string[] = [];
  for (const [key, value] of new URLSearchParams(search)) {
    if (PARAMETERS[place.page].includes(key) || EVERYWHERE.includes(key)) {
      if (value !== "") place.query[key] = value;
    } else ignored.push(key);
  }
  return { place, ignored, known };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

// The path below the base, with its parameters in a fixed order.
export function write(place: Place): string {
  const name = place.name === "" ? "" : "/" + encodeURIComponent(place.name);
  const path = place.page === "overview" ? "" : place.page + name;
  const order = [...PARAMETERS[place.page], ...EVERYWHERE];
  const query = new URLSearchParams();
  for (const key of order) if (place.query[key]) query.set(key, place.query[key]);
  const text = query.toString();
  return path + (text === "" ? "" : "?" + text);
}

export function at(page: PageName, name = "", query: Record<string, string | undefined> = {}): Place {
  const given: Record<string, string> = {};
  for (const [key, value] of Object.entries(query)) if (value) given[key] = value;
  return { page, name, query: given };
}
