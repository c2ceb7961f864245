// The same as the map, in rows.

import { factor, share } from "../lib/format.ts";
import { failures, placesOf } from "../lib/fleet.ts";
import { go, set } from "../lib/router.ts";
import { at } from "../lib/url.ts";
import type { Seen } from "../lib/columns.ts";
import { condition, slowness } from "../lib/words.ts";
import { Bar, Name, Pill, WorkerLink } from "./parts.tsx";
import { type Column, VirtualTable } from "./virtual.tsx";

const SORTS: Record<string, (worker: Seen) => number | string> = {
  state: condition,
  busy: (w) => (w.slots ? w.running / w.slots : 0),
  used: (w) => w.utilization,
  speed: slowness,
  done: (w) => w.done,
  failed: failures,
  cpu: (w) => w.cpu,
  memory: (w) => w.memory,
};

const COLUMNS: Column<Seen>[] = [
  { name: "Worker", sort: "name", cell: (w) => <WorkerLink name={w.name} /> },
  { name: "State", sort: "state", cell: (w) => <Pill state={condition(w)} text={condition(w) === "breaker" ? `breaker ${w.breaker}` : undefined} /> },
  { name: "Slots taken", sort: "busy", cell: (w) => <span class="row" style={{ flexWrap: "nowrap" }}><span class="grow"><Bar share={w.slots ? w.running / w.slots : 0} /></span>{w.running} of {w.slots}</span> },
  { name: "Used, 30 s", class: "num", sort: "used", cell: (w) => share(w.utilization) },
  { name: "Speed", class: "num", sort: "speed", cell: (w) => factor(slowness(w)) },
  { name: "Done", class: "num opt", sort: "done", cell: (w) => w.done.toLocaleString("en") },
  { name: "Failed lately", class: "num opt", sort: "failed", cell: (w) => share(failures(w)) },
  { name: "CPU", class: "num opt", sort: "cpu", cell: (w) => share(w.cpu) },
  { name: "Memory", class: "num opt", sort: "memory", cell: (w) => share(w.memory) },
  { name: "Labels", class: "opt", cell: (w) => <Name>{Object.entries(w.labels ?? {}).map(([key, value]) => `${key}=${value}`).join(" ")}</Name> },
  { name: "Host", class: "opt", cell: (w) => <Name>{w.hostname}</Name> },
];

export function FleetTable({ workers, sort, chosen }: { workers: readonly Seen[]; sort: string; chosen: string }) {
  const by = sort.replace("-", "") || "name";
  const place = placesOf(workers);
  const of = SORTS[by] ?? ((w: Seen) => place.get(w.name)!);
  const sign = sort.startsWith("-") ? -1 : 1;
  const rows = [...workers].sort((a, b) => {
    const [x, y] = [of(a), of(b)];
    return sign * (x < y ? -1 : x > y ? 1 : 0) || place.get(a.name)! - place.get(b.name)!;
  });
  return <VirtualTable label="Workers" rows={rows} columns={COLUMNS} keyOf={(w) => w.name} current={chosen} sort={sort || "name"} onSort={(next) => set({ sort: next })} onOpen={(w) => go(at("workers", w.name))} />;
}
