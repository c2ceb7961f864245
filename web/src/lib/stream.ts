// Server-sent events of a fetched answer, and the topics of /v1/live. Pure, but for the reading.

export interface Told { event: string; data: string; id: string }

// Cuts what arrives into events. Comments are no events, but somebody lives there.
export class Events {
  private rest = "";
  take(part: string): Told[] {
    const whole = (this.rest + part).split("\n\n");
    this.rest = whole.pop() ?? "";
    const found: Told[] = [];
    for (const text of whole) {
      const told: Told = { event: "message", data: "", id: "" };
      for (const line of text.split("\n")) {
        const colon = line.indexOf(": ");
        const name = line.slice(0, colon) as keyof Told;
        if (colon > 0 && name in told) told[name] = line.slice(colon + 2);
      }
      if (told.data !== "") found.push(told);
    }
    return found;
  }
}

const PLAIN = ["status", "attention", "queues", "types", "tenants"];
const OF_ONE: Record<string, string> = { tasks: "task:", workers: "worker:", types: "type:" };

// The topic that tells the answer of a path, or null: it must be asked for.
export function topicOf(path: string): string | null {
  const [route, query = ""] = path.split("?");
  const [version, list, name, ...more] = route.split("/");
  if (version !== "v1" || more.length > 0) return null;
  const asked = [...new URLSearchParams(query)].filter(([key]) => key !== "limit");
  if (name !== undefined) {
    const one = OF_ONE[list];
    // Names have an alphabet; what has another is none.
    return one && asked.length === 0 && /^[\w.:@/+-]+$/.test(decodeURIComponent(name)) ? one + name : null;
  }
  if (list === "tasks") {
    const parts = asked.map(([key, value]) => `${key}=${key === "state" ? value.replaceAll(",", "|") : value}`);
    if (!parts.every((part) => /^[\w.:@/|=+-]+$/.test(part))) return null;
    return parts.length === 0 ? "tasks" : `tasks(${parts.join(",")})`;
  }
  return PLAIN.includes(list) && asked.length === 0 ? list : null;
}

// All that is wanted, the own first, as many as a stream takes.
export const TOPICS_MAX = 16;
export function union(lists: readonly (readonly string[])[]): string[] {
  return [...new Set(lists.flat())].slice(0, TOPICS_MAX);
}
