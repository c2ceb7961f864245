// Is all well; if not: what, since when, what do I do?

import type { ComponentChildren } from "preact";
import { useMemo, useState } from "preact/hooks";
import type { PageProps } from "../app.tsx";
import { needs, verdict } from "../lib/attention.ts";
import { useAnswer } from "../lib/ask.ts";
import { useCell } from "../lib/cell.ts";
import { about, count, duration, num, plural, predicted, rate, share, short } from "../lib/format.ts";
import { type Point, type World, finishedOf, recentRate } from "../lib/frames.ts";
import { world } from "../lib/live.ts";
import { zone } from "../lib/prefs.ts";
import { href, link } from "../lib/router.ts";
import { clock } from "../lib/time.ts";
import type { Queue, Status, TypeList, TypeStat } from "../lib/wire.ts";
import { RANGES } from "../ui/frame.tsx";
import { Glyph } from "../ui/glyph.tsx";
import { Ago, Bar, Large, Name, Panel, PredictedTime, Scroll, Stat, TypeLink, Until, Verdict } from "../ui/parts.tsx";
import { Skeleton } from "../ui/states.tsx";
import { TimeChart } from "../ui/timechart.tsx";

const TYPES_MS = 5000;
const NEEDS_MAX = 7;
const TYPES_MAX = 7;
const QUEUES_MAX = 7;

export default function Overview({ place }: PageProps) {
  const now = useCell(world);
  const types = useAnswer<TypeList>("v1/types", TYPES_MS).data?.types ?? [];
  const queues = useAnswer<{ queues?: Queue[] }>("v1/queues", TYPES_MS).data?.queues ?? [];
  if (!now.status) return <Loading />;
  const told = verdict(now);
  if (told.kind === "none") return <Ready />;
  return (
    <>
      <Sentence world={now} />
      <div class="grid">
        <Needs world={now} types={types} />
        <Numbers world={now} />
        <Charts world={now} range={place.query.range ?? "5m"} />
        {types.length > 0 && <TypeTable types={types} wide={queues.length === 0} />}
        {queues.length > 0 && <Queues queues={queues} wide={types.length === 0} />}
      </div>
    </>
  );
}

function Sentence({ world: now }: { world: World }) {
  const status = now.status as Status;
  const told = verdict(now);
  const finished = recentRate(now.history, "finished");
  const arrived = recentRate(now.history, "arrived");
  const free = Math.max(0, status.slots - num(status.running));
  const flow = finished === null || arrived === null ? "" : `Now ${rate(finished).replace("/s", "")} tasks finish each second and ${rate(arrived).replace("/s", "")} arrive.`;
  const stuck = num(status.waiting_no_worker) + num(status.waiting_held) + num(status.waiting_paused);
  const titles: Record<string, ComponentChildren> = {
    well: free > 0 ? "All is well: a new task starts at once." : "All is well.",
    "no-worker": num(status.waiting) > 0 ? "Nothing can run: no worker is connected." : "No worker is connected; nothing waits.",
    fallback: "Predictions fail: round-robin decides.",
    stuck: stuck === 1 ? "All is well but for one task that nothing will start." : `All is well but for ${count(stuck)} tasks that nothing will start.`,
    "catching-up": told.kind === "catching-up" ? <>Work is catching up: the queue should be empty at <PredictedTime us={told.empty} />, <Until us={told.empty} />.</> : "",
    "piling-up": told.kind === "piling-up" ? <>Work is piling up: {about(told.growth)} more each second.</> : "",
  };
  return (
    <Verdict title={titles[told.kind]}>
      <p>{plural(num(status.waiting), "task")} {num(status.waiting) === 1 ? "waits" : "wait"}, {count(num(status.running))} of {count(status.slots)} slots are taken. {flow}</p>
    </Verdict>
  );
}

function Needs({ world: now, types }: { world: World; types: readonly TypeStat[] }) {
  const [all, setAll] = useState(false);
  const list = needs(now, types);
  const shown = all ? list : list.slice(0, NEEDS_MAX);
  return (
    <section class="panel c12" aria-label="Needs attention" aria-live="polite">
      {list.length === 0 ? <p class="faint" style={{ padding: ".5625rem 1rem" }}>Nothing needs you.</p> : (
        <ul class="needs">
          {shown.map((need) => (
            <li key={need.id}>
              <span class={`mark ${need.kind}`}><Glyph name={need.glyph} kind={need.kind} /></span>
              <div><p><b><Name>{need.title}</Name></b></p><p><Name>{need.why}</Name></p></div>
              {need.since > 0 ? <Ago us={need.since} /> : <span />}
              <a class="btn tiny" href={href(need.to)}>{need.act}</a>
            </li>
          ))}
          {list.length > shown.length && <li><span /><button type="button" class="btn tiny quiet" onClick={() => setAll(true)}>{list.length - shown.length} more</button></li>}
        </ul>
      )}
    </section>
  );
}

function Numbers({ world: now }: { world: World }) {
  const status = now.status as Status;
  const where = useCell(zone);
  const finished = recentRate(now.history, "finished");
  const arrived = recentRate(now.history, "arrived");
  const running = num(status.running);
  const stuck = num(status.waiting_no_worker) + num(status.waiting_paused) + num(status.waiting_held);
  const drain = num(status.drain_eta_unix_us);
  const busy = drain > num(status.now_unix_us);
  const empty = busy ? clock(drain, where, false) : stuck > 0 ? "never" : "–";
  const emptySub = stuck > 0 ? `nothing will start ${count(stuck)}` : busy ? "most likely all is done" : "nothing to do";
  const failed = num(status.dead) + num(status.cancelled) + num(status.expired);
  const known = (value: number) => (value > 0 ? share(value) : "–");
  return (
    <section class="strip c12" aria-label="Now">
      <Stat label="Waiting" value={count(num(status.waiting))} sub={<>about <span class="pred">{predicted(num(status.backlog_work_us))}</span> of work</>} to={link("tasks", "", { state: "waiting" })} />
      <Stat label="Running" value={count(running)} sub={`of ${count(status.slots)} slots, ${status.slots ? share(running / status.slots) : "–"}`} to={link("fleet")} />
      <Stat label="Finished" value={finished === null ? "–" : <>{rate(finished).replace("/s", "")}<i>/s</i></>} sub={arrived === null ? "measured in a moment" : `${rate(arrived)} arrive`} to={link("tasks", "", { state: "succeeded" })} />
      <Stat label="Ended" value={short(finishedOf(status))} sub={failed > 0 ? `${count(failed)} did not succeed` : "all succeeded"} to={link("tasks", "", failed > 0 ? { state: "dead,cancelled,expired" } : { state: "succeeded" })} />
      <Stat label="Queue empty" value={empty} kind={busy ? "pred" : ""} sub={emptySub} to={link("tasks", "", { state: "waiting" })} />
      <Stat label={"Hit within 25\u202f%"} value={known(status.within_25)} sub={`P90 held ${status.p90_coverage > 0 ? share(status.p90_coverage, 1, 0.9) : "–"}`} to={link("types")} />
      <Stat label="Promises kept" value={known(status.eta_p90_coverage)} sub="done by the P90 told" to={link("types")} />
      <Stat label="Decision" value={<Large text={duration(status.decision_p99_us)} />} sub={`p99; commit ${duration(status.commit_p50_us)}`} to={link("status")} />
    </section>
  );
}

const KEPT = new WeakMap<readonly Point[], Map<number, Point[]>>();
function recent(history: readonly Point[], from: number): Point[] {
  const cached = KEPT.get(history)?.get(from);
  if (cached) return cached;
  const found = history.filter((each) => each.t >= from);
  KEPT.set(history, new Map([[from, found]]));
  return found;
}

function Charts({ world: now, range }: { world: World; range: string }) {
  const status = now.status as Status;
  const where = useCell(zone);
  const at = num(status.now_unix_us);
  const seconds = RANGES.find(([id]) => id === range)?.[2] ?? 300;
  const from = at - seconds * 1e6;
  const points = recent(now.history, from);
  const t = useMemo(() => points.map((each) => each.t), [points]);
  const stuck = num(status.waiting_no_worker) + num(status.waiting_paused) + num(status.waiting_held);
  const drain = num(status.drain_eta_unix_us);
  const ahead = num(status.waiting) > stuck && drain > at ? Math.min(drain, at + (seconds * 1e6) / 2) : 0;
  const most = Math.max(10, ...points.map((each) => each.waiting));
  const flowMost = Math.max(1, ...points.map((each) => Math.max(each.finished ?? 0, each.arrived ?? 0)));
  const percent = (value: number) => share(value);
  const common = { from, to: at, now: at, t };
  const last = points.at(-1);
  return (
    <>
      <TimeChart {...common} class="c12" title="Tasks waiting" sub={ahead ? "and when the queue should be empty" : "since this page was opened"} height={218}
        t={ahead ? [...t, ahead] : t} to={ahead ? at + (ahead - at) * 1.15 : at}
        said={`${count(num(status.waiting))} wait${ahead ? `, most likely none at ${clock(drain, where)}` : ""}`}
        y={{ min: 0, max: most * 1.12, write: short }}
        note={ahead && ahead === drain ? { t: drain, value: stuck, text: `empty ${clock(drain, where, false)}` } : undefined}
        lines={[
          { label: "waiting", values: ahead ? [...points.map((each) => each.waiting), null] : points.map((each) => each.waiting), color: "run-fill", key: "run", fill: true, write: count },
          { label: "forecast", values: ahead ? [...points.map((_, i) => (i === points.length - 1 ? num(status.waiting) : null)), stuck + (num(status.waiting) - stuck) * (1 - (ahead - at) / (drain - at))] : points.map(() => null), color: "pred-fill", key: ahead ? "pred dash" : "", dash: true, write: about },
        ]} />
      <TimeChart {...common} class="c3" title="In and out" sub="tasks a second" said={`${rate(last?.finished ?? 0)} finish, ${rate(last?.arrived ?? 0)} arrive`}
        y={{ min: 0, max: flowMost * 1.15, write: (v) => rate(v).replace("/s", "") }}
        lines={[
          { label: "finished", values: points.map((each) => each.finished), color: "run-fill", key: "run", write: (v) => rate(v).replace("/s", "") },
          { label: "submitted", values: points.map((each) => each.arrived), color: "edge", key: "soft", width: 1.25, write: (v) => rate(v).replace("/s", "") },
        ]} />
      <TimeChart {...common} class="c3" title="Slots taken" sub={`of ${count(status.slots)}`} said={`${percent(last?.busy ?? 0)} of the slots are taken`}
        y={{ min: 0, max: 1.02, write: percent }} lines={[{ label: "taken", values: points.map((each) => each.busy), color: "run-fill", key: "run", fill: true, write: percent }]} />
      <TimeChart {...common} class="c3" title="Can predictions be trusted?" said={`${percent(status.within_25)} within 25 %, P90 held ${share(status.p90_coverage, 1, 0.9)}`}
        y={{ min: 0, max: 1.02, write: percent }} zone={{ from: 0.88, to: 0.92, color: "good-fill" }}
        lines={[
          { label: "P90 held", values: points.map((each) => each.p90Held), color: "pred-fill", key: "pred", write: (v) => share(v, 1, 0.9) },
          { label: "hit", values: points.map((each) => each.within25), color: "run-fill", key: "run", write: percent },
        ]} />
      <TimeChart {...common} class="c3" title="Is the fleet evenly used?" said={last?.use ? `half of the workers are used more than ${percent(last.use[2])}` : "no worker is ready"}
        y={{ min: 0, max: 1.02, write: percent }} between={[{ high: 4, low: 0, color: "run-fill", alpha: 0.1 }, { high: 3, low: 1, color: "run-fill", alpha: 0.2 }]}
        lines={[0, 1, 2, 3, 4].map((i) => ({ label: ["least", "p5", "median", "p95", "most"][i], values: points.map((each) => each.use?.[i as 0] ?? null), color: "run-fill", key: i === 2 ? "run" : "", width: i === 2 ? 1.75 : 0, write: percent }))} />
    </>
  );
}

function TypeTable({ types, wide }: { types: readonly TypeStat[]; wide: boolean }) {
  const weight = (type: TypeStat) => num(type.samples) * num(type.mean_us);
  const all = types.reduce((sum, each) => sum + weight(each), 0) || 1;
  const top = [...types].sort((a, b) => weight(b) - weight(a)).slice(0, TYPES_MAX);
  const most = weight(top[0]) || 1;
  return (
    <Panel title="Where the time of the slots goes" sub={`runs by their mean; ${top.length} of ${plural(types.length, "type")}`} class={wide ? "c12" : "c8 keep"}>
      <Scroll label="Types by slot time" flush>
        <table>
          <thead><tr><th>Type</th><th>Share of slot time</th><th class="num">Takes (p50)</th><th class="num opt">P90</th><th class="num">Hit ±25 %</th><th class="num opt">P90 held</th><th><span class="sr">Remark</span></th></tr></thead>
          <tbody>{top.map((each) => (
            <tr key={each.type}>
              <td><TypeLink name={each.type} /></td>
              <td style={{ width: "32%" }}><span class="row" style={{ flexWrap: "nowrap" }}><span class="grow"><Bar share={weight(each) / most} /></span><span style={{ width: "2.75rem", textAlign: "right" }}>{share(weight(each) / all)}</span></span></td>
              <td class="num pred">{duration(num(each.p50_us))}</td><td class="num opt pred">{duration(num(each.p90_us))}</td>
              <td class="num">{share(each.within_25)}</td><td class="num opt">{share(each.p90_coverage, 1, 0.9)}</td>
              <td>{each.drifting ? <span class="chip warn"><Glyph name="drift" />changed</span> : num(each.samples) < 10 ? <span class="chip">still learning</span> : ""}</td>
            </tr>
          ))}</tbody>
        </table>
      </Scroll>
    </Panel>
  );
}

function Queues({ queues, wide }: { queues: readonly Queue[]; wide: boolean }) {
  const top = [...queues].sort((a, b) => num(b.waiting) - num(a.waiting)).slice(0, QUEUES_MAX);
  const most = Math.max(1, ...top.map((each) => num(each.waiting)));
  return (
    <Panel title="Queues" sub="tasks waiting" class={wide ? "c12" : "c4"}>
      <div class="lists">{top.map((each) => (
        <a class="share" href={link("queues", each.name)} key={each.name}>
          <span class="clip"><Name>{each.name}</Name>{each.paused && <span class="warn"> · paused</span>}</span><b>{count(num(each.waiting))}</b><Bar share={num(each.waiting) / most} kind="wait" thin />
        </a>
      ))}</div>
    </Panel>
  );
}

function Ready() {
  return (
    <>
      <Verdict title="Ready. Nothing has been submitted yet."><p>The server runs, its store is open, and no worker has connected. Two commands make it do something:</p></Verdict>
      <section class="panel"><div class="empty">
        <p>1. A worker, in a second terminal:</p><pre>nexus worker --name w1 --slots 4 --allow exec</pre>
        <p>2. A task; the answer says when it will be done:</p><pre>nexus task submit --type hello --wait -- echo hello</pre>
        <p class="faint">This page follows by itself.</p>
      </div></section>
    </>
  );
}

function Loading() {
  return <><Skeleton height="3.5rem" /><Skeleton height="5.5rem" /><div class="grid"><div class="c12"><Skeleton height="16rem" /></div></div></>;
}
