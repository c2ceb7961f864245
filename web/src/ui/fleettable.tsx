// The same as the map, in rows.

import { factor, share } from "../lib/format.ts";
import { failures } from "../lib/fleet.ts";
import { go, set } from "../lib/router.ts";
import { at } from "../lib/url.ts";
import type { Seen } from "../lib/columns.ts";
import { condition, slowness } from "../lib/words.ts";
import { Bar, Name, Pill, WorkerLink } from "./parts.tsx";
import { type Column, VirtualTable } from "./virtual.tsx";

const byName = new Intl.Collator("en", { numeric: true });
const SORTS: Record<string, (worker: Seen) => number | string> = {
  name: (w) => w.name,
  state: condition,
  busy: (w) => (w.slots ? w.running / w.slots : 0),
  used: (w) => w.utilization,
  speed: slowness,
  failed: failures,
};

const COLUMNS: Column<Seen>[] = [
  { name: "Worker", sort: "name", cell: (w) => <WorkerLink name={w.name} /> },
  { name: "State", sort: "state", cell: (w) => <Pill state={condition(w)} text={condition(w) === "breaker" ? `breaker ${w.breaker}` : undefined} /> },
  { name: "Slots taken", sort: "busy", cell: (w) => <span class="row" style={{ flexWrap: "nowrap" }}><span class="grow"><Bar share={w.slots ? w.running / w.slots : 0} /></span>{w.running} of {w.slots}</span> },
  { name: "Used, 30 s", class: "num", sort: "used", cell: (w) => share(w.utilization) },
  { name: "Speed", class: "num", sort: "speed", cell: (w) => factor(slowness(w)) },
  { name: "Failed lately", class: "num opt", sort: "failed", cell: (w) => share(failures(w)) },
  { name: "Labels", class: "opt", cell: (w) => <Name>{Object.entries(w.labels ?? {}).map(([key, value]) => `${key}=${value}`).join(" ")}</Name> },
  { name: "Host", class: "opt", cell: (w) => <Name>{w.hostname}</Name> },
];

export function FleetTable({ workers, sort, chosen }: { workers: readonly Seen[]; sort: string; chosen: string }) {
  const by = sort.replace("-", "") || "name";
  const of = SORTS[by] ?? SORTS.name;
  const sign = sort.startsWith("-") ? -1 : 1;
  const rows = [...workers].sort((a, b) => {
    const [x, y] = [of(a), of(b)];
    return sign * (typeof x === "number" && typeof y === "number" ? x - y : byName.compare(String(x), String(y))) || byName.compare(a.name, b.name);
  });
  return <VirtualTable label="Workers" rows={rows} columns={COLUMNS} keyOf={(w) => w.name} current={chosen} sort={sort || "name"} onSort={(next) => set({ sort: next })} onOpen={(w) => go(at("workers", w.name))} />;
}
