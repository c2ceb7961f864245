// The fleet as the stream tells it: columns, then what changed in them. Pure.

// What the map and the table show of a worker; all else is asked for of that one.
export interface Seen {
  name: string;
  labels: Record<string, string>;
  hostname: string;
  state: string;
  breaker: string;
  slots: number;
  running: number;
  utilization: number;
  speed: number;
  failures: number;  // of its last 36 runs
  done: number;      // these three at most 10 s old
  cpu: number;
  memory: number;
}
export interface Fleet { version: number; rows: readonly (Seen | null)[] }  // null: the worker of that place is gone

const STATES = ["UNSPECIFIED", "READY", "SUSPECT", "GONE", "CORDONED", "DRAINING"];
const BREAKERS = ["closed", "open", "probing"];
const SET: Record<string, (row: Seen, value: number) => void> = {
  state: (row, v) => (row.state = `WORKER_STATE_${STATES[v] ?? "UNSPECIFIED"}`),
  breaker: (row, v) => (row.breaker = BREAKERS[v] ?? "open"),
  slots: (row, v) => (row.slots = v),
  running: (row, v) => (row.running = v),
  used: (row, v) => (row.utilization = v / 100),
  speed: (row, v) => (row.speed = v / 100),
  failures: (row, v) => (row.failures = v),
  done: (row, v) => (row.done = v),
  cpu: (row, v) => (row.cpu = v / 100),
  memory: (row, v) => (row.memory = v / 100),
};

type Columns = { name?: string[]; labels?: Record<string, string>[]; hostname?: string[] } & Record<string, unknown>;
export interface FleetFrame {
  version: number;
  full?: boolean;
  columns?: Columns;
  since?: number;
  gone?: number[];
  added?: Columns;
  changes?: Record<string, [number[], number[]]>;
}

function rowsOf(columns: Columns): Seen[] {
  return (columns.name ?? []).map((name, i) => {
    const row: Seen = { name, labels: columns.labels?.[i] ?? {}, hostname: columns.hostname?.[i] ?? "", state: "", breaker: "closed", slots: 0, running: 0, utilization: 0, speed: 0, failures: 0, done: 0, cpu: 0, memory: 0 };
    for (const [key, put] of Object.entries(SET)) put(row, (columns[key] as number[] | undefined)?.[i] ?? 0);
    return row;
  });
}

// Null: the frame builds on another one than is known, so a whole one is needed. What did not change stays the same object.
export function follow(fleet: Fleet | undefined, frame: FleetFrame): Fleet | null {
  if (frame.full) return { version: frame.version, rows: rowsOf(frame.columns ?? {}) };
  if (!fleet) return null;
  if (frame.version <= fleet.version) return fleet;
  if (frame.since !== fleet.version) return null;
  const rows = [...fleet.rows, ...rowsOf(frame.added ?? {})];
  for (const at of frame.gone ?? []) rows[at] = null;
  const fresh = new Set<number>();
  for (const [key, [places, values]] of Object.entries(frame.changes ?? {})) {
    places.forEach((at, i) => {
      const row = rows[at];
      if (!row || !SET[key]) return;
      if (!fresh.has(at)) {
        fresh.add(at);
        rows[at] = { ...row };
      }
      SET[key](rows[at] as Seen, values[i]);
    });
  }
  return { version: frame.version, rows };
}
export function workersOf(fleet: Fleet | undefined): readonly Seen[] {
  return fleet ? fleet.rows.filter((each) => each !== null) : [];
}
