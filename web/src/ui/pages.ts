// The pages in the order of the navigation, and the key that leads to each after `g`.

import type { PageName } from "../lib/url.ts";

export interface PageEntry { page: PageName; title: string; key: string; icon: string; group: number }

export const PAGES: readonly PageEntry[] = [
  { page: "overview", title: "Overview", key: "o", icon: "overview", group: 0 },
  { page: "fleet", title: "Fleet", key: "f", icon: "fleet", group: 0 },
  { page: "tasks", title: "Tasks", key: "t", icon: "tasks", group: 0 },
  { page: "types", title: "Types", key: "y", icon: "types", group: 0 },
  { page: "queues", title: "Queues & tenants", key: "q", icon: "queues", group: 0 },
  { page: "decisions", title: "Decisions", key: "d", icon: "decisions", group: 0 },
  { page: "config", title: "Config & audit", key: "c", icon: "config", group: 1 },
  { page: "status", title: "Status", key: "s", icon: "status", group: 1 },
];

// Pages that are reached through another one show as that one.
const PARENT: Partial<Record<PageName, PageName>> = { workers: "fleet", tenants: "queues", audit: "config" };
export function shownAs(page: PageName): PageName {
  return PARENT[page] ?? page;
}
