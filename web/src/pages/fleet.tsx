// Is the fleet evenly used, who is ill?

import { useMemo, useState } from "preact/hooks";
import type { PageProps } from "../app.tsx";
import { pathOf } from "../lib/api.ts";
import { useAnswer, useFleet, useLive } from "../lib/ask.ts";
import { ticksTo } from "../lib/band.ts";
import type { Seen } from "../lib/columns.ts";
import { MEASURES, filterOf, groupingOf, groups as groupsOf, testOf } from "../lib/fleet.ts";
import { count, duration, factor, num, plural, share } from "../lib/format.ts";
import { quantile } from "../lib/frames.ts";
import { go, link, set } from "../lib/router.ts";
import { at } from "../lib/url.ts";
import type { Free } from "../lib/wire.ts";
import { condition, slowness, workerState } from "../lib/words.ts";
import { FleetMap } from "../ui/fleetmap.tsx";
import { Glyph } from "../ui/glyph.tsx";
import { Kv, Name, Panel, Pill, Verdict, kindOf } from "../ui/parts.tsx";
import { Plot } from "../ui/plot.tsx";
import { Answered, Empty, NoMatch, Skeleton } from "../ui/states.tsx";
import { FleetTable } from "../ui/fleettable.tsx";
import { WorkerActs } from "../ui/workeracts.tsx";
import { RunningHere, WorkerFacts, WorkerNote, sayWorker, speedText } from "../ui/workerparts.tsx";

const CHIPS: [string, string][] = [["ready", "Ready"], ["breaker", "Breaker"], ["draining", "Draining"], ["cordoned", "Cordoned"], ["suspect", "Silent"], ["gone", "Gone"]];

const NONE: readonly Seen[] = [];

export default function Fleet({ place }: PageProps) {
  const told = useFleet();
  const workers = told ?? NONE;
  const { q = "", is = "", color = "busy", view = "map", worker: wanted = "", group } = place.query;
  const measure = MEASURES[color] ?? MEASURES.busy;
  const filter = useMemo(() => filterOf(q), [q]);
  const matches = (each: Seen) => (is === "" || condition(each) === is) && filter(each);
  const keys = group !== undefined ? group.split(",").filter(Boolean) : groupingOf(workers);
  const found = useMemo(() => groupsOf(workers, keys), [workers, keys.join()]);
  const fitting = workers.filter(matches);
  const chosen = workers.find((each) => each.name === wanted) ?? interesting(workers);
  if (!told) return <><Skeleton height="3.5rem" /><Skeleton height="24rem" /></>;
  if (workers.length === 0)
    return <><Verdict title="No worker has connected yet." /><section class="panel"><Empty text="Start one on any machine that reaches this server:" command="nexus worker --slots 4 --allow exec" /></section></>;
  const counts = new Map<string, number>();
  for (const each of workers) counts.set(condition(each), (counts.get(condition(each)) ?? 0) + 1);
  const title = keys.length === 0 ? "All workers" : `By ${keys.map((key) => (key === "hw" ? "hardware" : key)).join(" and ")}`;
  return (
    <>
      <Sentence workers={fitting.length > 0 ? fitting : workers} filtered={fitting.length !== workers.length} />
      <div class="row fleetbar">
        <div class="row" role="group" aria-label="Show only">
          {CHIPS.filter(([id]) => id === is || (counts.get(id) ?? 0) > 0).map(([id, text]) => (
            <button type="button" class="chip" aria-pressed={is === id} onClick={() => set({ is: is === id ? undefined : id })}><Glyph name={id} kind={kindOf(id)} />{text} <b>{count(counts.get(id) ?? 0)}</b></button>
          ))}
        </div>
        <span class="grow" />
        <span class="seg" role="group" aria-label="Colour by">
          {Object.entries(MEASURES).map(([id, each]) => <button type="button" aria-pressed={each === measure} onClick={() => set({ color: id === "busy" ? undefined : id })}>{each.word}</button>)}
        </span>
      </div>
      <div class="fleet">
        <div>
          <section class="panel" aria-label={view === "table" ? "Table of workers" : "Map of workers"}>
            <div class="mapbar">
              <h2>{title}</h2><span class="grow" />
              <input class="text" data-filter value={q} placeholder="Filter: zone=a hw=gpu speed>1.3" aria-label="Filter workers" onInput={(e) => set({ q: e.currentTarget.value }, "replace")} />
              <span class="seg" role="group" aria-label="View">
                <button type="button" aria-pressed={view !== "table"} onClick={() => set({ view: undefined })}>Map</button>
                <button type="button" aria-pressed={view === "table"} onClick={() => set({ view: "table" })}>Table</button>
              </span>
            </div>
            <div class="body" style={{ paddingTop: ".75rem" }}>
              {fitting.length === 0 ? <NoMatch filter={[is, culprit(q, workers) || q].filter(Boolean).join(" ")} onDrop={() => set({ q: undefined, is: undefined })} />
                : view === "table" ? <FleetTable workers={fitting} sort={place.query.sort ?? ""} chosen={chosen?.name ?? ""} /> : <MapWithTip found={found} measure={measure} matches={matches} chosen={chosen} />}
              {view !== "table" && <Legend measure={measure} />}
            </div>
          </section>
          <div class="grid"><Evenly workers={fitting} /><Fast groups={groupsOf(fitting, keys.slice(0, 1))} /><ComingFree /></div>
        </div>
        {chosen && <Inspector worker={chosen} key={chosen.name} />}
      </div>
    </>
  );
}

// The part of a filter that removes everything.
function culprit(q: string, workers: readonly Seen[]): string {
  return q.split(/\s+/).find((word) => word !== "" && !workers.some(testOf(word))) ?? "";
}

function interesting(workers: readonly Seen[]): Seen | undefined {
  const rank = (each: Seen) => ["breaker", "suspect", "draining", "cordoned"].indexOf(condition(each));
  const ill = workers.filter((each) => rank(each) >= 0).sort((a, b) => rank(a) - rank(b));
  return ill[0] ?? workers.find((each) => condition(each) === "ready") ?? workers[0];
}

function Sentence({ workers, filtered }: { workers: readonly Seen[]; filtered: boolean }) {
  const live = workers.filter((each) => workerState(each) !== "gone");
  const ready = live.filter((each) => condition(each) === "ready").map((each) => each.utilization).sort((a, b) => a - b);
  const slots = live.reduce((sum, each) => sum + each.slots, 0);
  const running = live.reduce((sum, each) => sum + each.running, 0);
  const [low, high] = [quantile(ready, 0.05), quantile(ready, 0.95)];
  const ill = live.filter((each) => condition(each) === "breaker").length;
  const silent = live.filter((each) => condition(each) === "suspect").length;
  const title = live.length === 0 ? "No worker is connected." : running >= slots && slots > 0 ? "All slots are taken."
    : ready.length < 2 ? `${plural(live.length, "worker")} ${live.length === 1 ? "is" : "are"} connected.`
    : high < 0.005 ? "The fleet is idle." : high - low <= 0.15 ? `The fleet is evenly used, nine in ten ${share(low) === share(high) ? `at ${share(low)}` : `between ${share(low)} and ${share(high)}`}.` : `The fleet is unevenly used: nine in ten between ${share(low)} and ${share(high)}.`;
  const remarks = [ill > 0 && `${plural(ill, "worker")} ${ill === 1 ? "is" : "are"} too slow to be trusted`, silent > 0 && `${silent} ${silent === 1 ? "has" : "have"} fallen silent`].filter(Boolean).join(", ");
  return (
    <Verdict title={title}>
      <p>{filtered ? "Of those that match: " : ""}{plural(live.length, "worker")} with {plural(slots, "slot")}; {count(Math.max(0, slots - running))} {slots - running === 1 ? "is" : "are"} free now. {remarks && `${remarks.charAt(0).toUpperCase()}${remarks.slice(1)}.`}</p>
    </Verdict>
  );
}

function MapWithTip({ found, measure, matches, chosen }: { found: ReturnType<typeof groupsOf>; measure: (typeof MEASURES)["busy"]; matches: (worker: Seen) => boolean; chosen: Seen | undefined }) {
  const [tip, setTip] = useState<{ worker: Seen; x: number; y: number } | null>(null);
  return (
    <>
      <FleetMap groups={found} measure={measure} matches={matches} chosen={chosen?.name ?? ""} sayOf={sayWorker} onChoose={(name) => set({ worker: name }, "replace")} onOpen={(name) => go(at("workers", name))}
                onHover={(worker, x, y) => setTip(worker && { worker, x, y })} />
      {tip && (
        <div class="tip" style={{ left: `${Math.min(tip.x + 14, innerWidth - 250)}px`, top: `${tip.y + (tip.y > innerHeight - 180 ? -150 : 18)}px` }}>
          <b><Name>{tip.worker.name}</Name></b> <Pill state={condition(tip.worker)} />
          <Kv rows={[["Slots", `${tip.worker.running} of ${tip.worker.slots} taken`], ["Used, 30 s", share(tip.worker.utilization)], ["Speed", `${factor(slowness(tip.worker))}, ${speedText(tip.worker)}`]]} />
        </div>
      )}
    </>
  );
}

function Legend({ measure }: { measure: (typeof MEASURES)["busy"] }) {
  const write = (value: number) => (measure === MEASURES.speed ? factor(2 ** value) : share(value));
  return (
    <div class="row legend">
      <span class="key">{measure.word}, {measure.meaning}</span>
      <span class="row" style={{ gap: ".375rem" }}><small class="faint">{write(measure.low)}</small><span class="ramp" aria-hidden="true">{Array.from({ length: 9 }, (_, i) => <i class={`s${i}`} />)}</span><small class="faint">{write(measure.high)}</small></span>
      <span class="grow" /><small class="faint">each square is a worker and keeps its place</small>
    </div>
  );
}

const BINS = 25;
function Evenly({ workers }: { workers: readonly Seen[] }) {
  const live = workers.filter((each) => workerState(each) !== "gone").map((each) => each.utilization).sort((a, b) => a - b);
  const bins = Array.from({ length: BINS }, () => 0);
  for (const use of live) ++bins[Math.min(BINS - 1, Math.floor(use * BINS))];
  const most = Math.max(1, ...bins);
  const [low, high] = [quantile(live, 0.05) ?? 0, quantile(live, 0.95) ?? 0];
  return (
    <Panel title="How evenly is it used?" sub="workers by use, 30 s" class="c6">
      <Plot height={120} label={`Histogram of use: nine in ten workers between ${share(low)} and ${share(high)}`}>
        {({ w, h, k }) => {
          const floor = h - 18 * k;
          const height = (n: number) => Math.max(2, ((floor - 18 * k) * n) / most);
          return (
            <>
              <rect class="f-run a1" x={low * w} y={0} width={Math.max(2, (high - low) * w)} height={floor} />
              {bins.map((n, i) => n > 0 && <rect class="f-run" x={(w * i) / BINS + 1} y={floor - height(n)} width={w / BINS - 2} height={height(n)} rx="1" />)}
              <path class="axis" d={`M0 ${floor}H${w}`} />
              {[0, 0.25, 0.5, 0.75, 1].map((v) => <text x={v * w} y={h - 4} text-anchor={v === 0 ? "start" : v === 1 ? "end" : "middle"}>{share(v)}</text>)}
              {live.length > 1 && <text class="t-run e" x={low > 0.5 ? low * w - 6 : Math.min(high * w + 6, w - 90)} y={12 * k} text-anchor={low > 0.5 ? "end" : "start"}>{share(low)} to {share(high)}</text>}
            </>
          );
        }}
      </Plot>
    </Panel>
  );
}

const ROWS_MAX = 6;
const shown = (each: Seen) => workerState(each) !== "gone" && condition(each) !== "breaker";
function Fast({ groups }: { groups: ReturnType<typeof groupsOf> }) {
  const rows = groups.slice(0, ROWS_MAX);
  const slowest = Math.max(2, ...rows.flatMap((each) => each.workers.map(slowness)));
  const high = Math.log2(slowest) + 0.3;
  return (
    <Panel title="How fast are they?" sub={`learned factor of run times${groups.length > ROWS_MAX ? `; ${ROWS_MAX} of ${groups.length} groups` : ""}`} class="c6">
      <Plot height={Math.max(120, 30 + 26 * rows.length)} label="Learned run time factor of each worker by group">
        {({ w, h, k }) => {
          const left = 64 * k;
          const x = (v: number) => left + ((w - left - 12) * (Math.log2(Math.max(0.4, v)) + 1.2)) / (high + 1.2);
          const floor = h - 18 * k;
          const step = (floor - 8 * k) / Math.max(1, rows.length);
          return (
            <>
              {[0.5, 1, 2, 4, 8].filter((v) => Math.log2(v) <= high).map((v) => <><path class="grid-line" d={`M${x(v)} 4V${floor}`} /><text x={x(v)} y={h - 4} text-anchor="middle">×{v}</text></>)}
              {rows.map((row, r) => {
                const y = 8 * k + step * (r + 0.5);
                return (
                  <>
                    <text class="t-ink" x={0} y={y + 4}>{(row.parts[0]?.[1] ?? "all").slice(0, 9)}</text>
                    {/* One path for all of them: a thousand elements would be compared each second. */}
                    <path class="dots" stroke-width={4.4 * k} d={row.workers.map((each, i) => (shown(each) ? `M${x(slowness(each)).toFixed(1)} ${(y + (((i * 7) % 19) - 9) * step * 0.035).toFixed(1)}h0` : "")).join("")} />
                    {row.workers.filter((each) => condition(each) === "breaker").map((each) => <>
                      <circle class="f-bad" cx={x(slowness(each))} cy={y} r={3.4 * k} />
                      <text class="t-bad e" x={x(slowness(each)) - 6} y={y + 4} text-anchor="end">{each.name}</text>
                    </>)}
                  </>
                );
              })}
            </>
          );
        }}
      </Plot>
    </Panel>
  );
}

// How many of the slots that are taken now come free within the next minute.
function ComingFree() {
  const told = useAnswer(pathOf("/v1/fleet/free", {}), 5000).data;
  const free = told?.slots_free ?? [];
  if (!told || free.length < 2) return null;
  const most = Math.max(1, ...free.map((each) => each.p90));
  const last = free[free.length - 1];
  return (
    <Panel title="When do slots come free?" sub={`in the whole fleet, of the ${count(num(told.taken))} where a run goes on; ${count(num(told.free))} free now. What waits takes them at once`} class="c12">
      <Plot height={120} label={`Within ${duration(num(last.in_us))} most likely ${Math.round(last.p50)} slots come free, between ${Math.round(last.p10)} and ${Math.round(last.p90)} in eight of ten cases`}>
        {({ w, h, k, hatch }) => {
          const [left, floor] = [34 * k, h - 18 * k];
          const x = (us: number) => left + ((w - left - 8) * us) / num(last.in_us);
          const y = (n: number) => floor - ((floor - 8) * n) / most;
          const line = (of: (each: Free) => number, from = "M") => free.map((each, i) => `${i === 0 ? from : "L"}${x(num(each.in_us)).toFixed(1)} ${y(of(each)).toFixed(1)}`).join("");
          const back = [...free].reverse().map((each) => `L${x(num(each.in_us)).toFixed(1)} ${y(each.p10).toFixed(1)}`).join("");
          return (
            <>
              {ticksTo(most, 3).map((n) => <><path class="grid-line" d={`M${left} ${y(n)}H${w}`} /><text x={left - 6} y={y(n) + 3.5} text-anchor="end">{Math.round(n)}</text></>)}
              <path d={`${line((each) => each.p90)}${back}Z`} fill={hatch} /><path class="ln k-pred" d={line((each) => each.p50)} />
              {free.filter((_, i) => i % Math.ceil(free.length / 6) === 0 || i === free.length - 1).map((each) => <text x={Math.min(w - 18 * k, x(num(each.in_us)))} y={h - 4} text-anchor="middle">{duration(num(each.in_us))}</text>)}
            </>
          );
        }}
      </Plot>
    </Panel>
  );
}

function Inspector({ worker }: { worker: Seen }) {
  const answer = useLive(pathOf("/v1/workers/{name}", { name: worker.name }));
  return (
    <aside class="panel inspect" aria-label="Selected worker">
      <header style={{ paddingBottom: ".5rem" }}><h2 class="clip" style={{ fontSize: "1rem" }}><a href={link("workers", worker.name)}><Name>{worker.name}</Name></a></h2><Pill state={condition(worker)} text={condition(worker) === "breaker" ? `breaker ${worker.breaker}` : undefined} /></header>
      <div class="body">
        <Answered answer={answer} height="14rem">
          {(whole) => (
            <>
              <WorkerNote worker={whole} />
              <WorkerActs worker={whole} onDone={answer.again} />
              <WorkerFacts worker={whole} />
              {num(whole.running) > 0 || whole.paused > 0 ? <RunningHere worker={whole} /> : <p class="faint small">Nothing runs here.</p>}
            </>
          )}
        </Answered>
      </div>
    </aside>
  );
}
