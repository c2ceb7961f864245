// Is all well; if not: what, since when, what do I do?

import type { ComponentChildren } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import type { PageProps } from "../app.tsx";
import { pathOf } from "../lib/api.ts";
import { type Need, needs, needsTold, verdict } from "../lib/attention.ts";
import { useAnswer } from "../lib/ask.ts";
import { useCell } from "../lib/cell.ts";
import { about, count, duration, num, plural, predicted, rate, share, short } from "../lib/format.ts";
import { type World, recentRate } from "../lib/frames.ts";
import { world } from "../lib/live.ts";
import { zone } from "../lib/prefs.ts";
import { href, link } from "../lib/router.ts";
import { slotTimeOf } from "../lib/runs.ts";
import { type Moment, forecast, joined, momentsOf } from "../lib/series.ts";
import { clock } from "../lib/time.ts";
import type { Attention, Queue, Status, Tenant, TypeList, TypeStat } from "../lib/wire.ts";
import { reasonMany, reasonOf, sentence } from "../lib/words.ts";
import { RANGES, longRange } from "../ui/frame.tsx";
import { Glyph } from "../ui/glyph.tsx";
import { Ago, Bar, Large, Name, Panel, PredictedTime, Scroll, Stat, TypeLink, Until, Verdict, visible } from "../ui/parts.tsx";
import { GotShare } from "../ui/tenants.tsx";
import { Skeleton } from "../ui/states.tsx";
import { TimeChart } from "../ui/timechart.tsx";

const TYPES_MS = 5000;
const ATTENTION_MS = 2000;
const NEEDS_MAX = 7;
const TYPES_MAX = 7;
const QUEUES_MAX = 7;

export default function Overview({ place }: PageProps) {
  const now = useCell(world);
  const types = useAnswer<TypeList>(pathOf("/v1/types", {}), TYPES_MS).data?.types ?? [];
  const queues = useAnswer(pathOf("/v1/queues", {}), TYPES_MS).data?.queues ?? [];
  const tenants = useAnswer(pathOf("/v1/tenants", {}), TYPES_MS).data?.tenants ?? [];
  const attention = useAnswer(pathOf("/v1/attention", {}), ATTENTION_MS).data;
  if (!now.status) return <Loading />;
  const told = verdict(now);
  if (told.kind === "none") return <Ready />;
  return (
    <>
      <Sentence world={now} told={attention?.verdict} />
      <div class="grid">
        <Needs list={attention ? needsTold(attention) : needs(now, types)} />
        <Numbers world={now} />
        <Charts world={now} range={place.query.range ?? "5m"} />
        {types.length > 0 && <TypeTable types={types} wide={queues.length + tenants.length === 0} />}
        {tenants.length > 1 ? <Tenants tenants={tenants} wide={types.length === 0} /> : queues.length > 0 && <Queues queues={queues} wide={types.length === 0} />}
      </div>
    </>
  );
}

function Sentence({ world: now, told: server }: { world: World; told: Attention["verdict"] }) {
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
    "catching-up": told.kind === "catching-up" ? <>Work is catching up: the queue should be empty at <PredictedTime us={told.empty} />{num(status.drain_eta_p90_unix_us) > told.empty ? <>, in nine of ten cases by <PredictedTime us={num(status.drain_eta_p90_unix_us)} /></> : <>, <Until us={told.empty} /></>}.</> : "",
    "piling-up": told.kind === "piling-up" ? <>Work is piling up: {about(told.growth)} more each second.</> : "",
  };
  // The server's own sentence, where the page has no number of its own to add.
  const own = server === undefined || told.kind === "catching-up" || told.kind === "piling-up";
  return (
    <Verdict title={own ? titles[told.kind] : <Name>{server.sentence}</Name>}>
      <p>{server?.cause && <><Name>{sentence(server.cause)}</Name> </>}{plural(num(status.waiting), "task")} {num(status.waiting) === 1 ? "waits" : "wait"}, {count(num(status.running))} of {count(status.slots)} slots are taken. {flow}</p>
    </Verdict>
  );
}

function Needs({ list }: { list: readonly Need[] }) {
  const [all, setAll] = useState(false);
  const shown = all ? list : list.slice(0, NEEDS_MAX);
  return (
    <section class="panel c12" aria-label="Needs attention" aria-live="polite">
      {list.length === 0 ? <p class="faint" style={{ padding: ".5625rem 1rem" }}>Nothing needs you.</p> : (
        <ul class="needs">
          {shown.map((need) => (
            <li key={need.id}>
              <span class={`mark ${need.kind}`}><Glyph name={need.glyph} kind={need.kind} /></span>
              <div><p><b><Name>{need.title}</Name></b></p><p><Coded text={need.why} /></p></div>
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

// A command between backticks is a command.
function Coded({ text }: { text: string }) {
  return <>{text.split("`").map((part, i) => (i % 2 === 1 ? <code class="mono">{visible(part)}</code> : <Name>{part}</Name>))}</>;
}

function Numbers({ world: now }: { world: World }) {
  const status = now.status as Status;
  const where = useCell(zone);
  const finished = recentRate(now.history, "finished");
  const arrived = recentRate(now.history, "arrived");
  const running = num(status.running);
  const stuck = num(status.waiting_no_worker) + num(status.waiting_paused) + num(status.waiting_held);
  const drain = num(status.drain_eta_unix_us);
  const oldest = num(status.oldest_waiting_unix_us);
  const late = num(status.drain_eta_p90_unix_us);
  const busy = drain > num(status.now_unix_us);
  const empty = busy ? clock(drain, where, false) : stuck > 0 ? "never" : "–";
  const emptySub = stuck > 0 && !(late > drain && busy) ? `nothing will start ${count(stuck)}` : busy ? (late > drain ? `by ${clock(late, where, false)} (P90)` : "most likely all is done") : "nothing to do";
  const known = (value: number) => (value > 0 ? share(value) : "–");
  return (
    <section class="strip c12" aria-label="Now">
      <Stat label="Waiting" value={count(num(status.waiting))} sub={oldest > 0 ? `oldest ${duration(num(status.now_unix_us) - oldest)}` : <>about <span class="pred">{predicted(num(status.backlog_work_us))}</span> of work</>} to={link("tasks", "", { state: "waiting" })} />
      <Stat label="Running" value={count(running)} sub={`of ${count(status.slots)} slots, ${status.slots ? share(running / status.slots) : "–"}`} to={link("fleet")} />
      <Stat label="Finished" value={finished === null ? "–" : <>{rate(finished).replace("/s", "")}<i>/s</i></>} sub={arrived === null ? "measured in a moment" : `${rate(arrived)} arrive`} to={link("tasks", "", { state: "succeeded" })} />
      <Stat label="Wait before start" value={num(status.wait_p50_us) > 0 ? <Large text={duration(num(status.wait_p50_us))} /> : "–"} sub={num(status.wait_p99_us) > 0 ? `p50; p99 ${duration(num(status.wait_p99_us))}` : "nothing started lately"} to={link("tasks", "", { state: "waiting" })} />
      <Stat label="Queue empty" value={empty} kind={busy ? "pred" : ""} sub={emptySub} to={link("tasks", "", { state: "waiting" })} />
      <Stat label={"Hit within 25\u202f%"} value={known(status.within_25)} sub={`P90 held ${status.p90_coverage > 0 ? share(status.p90_coverage, 1, 0.9) : "–"}`} to={link("types")} />
      <Stat label="Idle while waiting" value={<Large text={duration(num(status.idle_while_waiting_us))} />} sub="slots, last hour" to={link("fleet")} />
      <Stat label="Decision" value={<Large text={duration(status.decision_p99_us)} />} sub={`p99; commit ${duration(status.commit_p50_us)}`} to={link("status")} />
    </section>
  );
}

const PAST_MS = 10_000;
const MINUTE_US = 60e6;

// The past from the server, since a start that stays where it is until another range is wanted.
function usePast(seconds: number, now: number): Moment[] {
  const from = useMemo(() => Math.floor((now - seconds * 1e6) / MINUTE_US) * MINUTE_US, [seconds]);
  const told = useAnswer(pathOf("/v1/series", {}, { from_unix_us: from }), PAST_MS).data;
  useEffect(() => longRange.set(told !== undefined), [told === undefined]);
  return useMemo(() => momentsOf(told), [told]);
}

function Charts({ world: now, range }: { world: World; range: string }) {
  const status = now.status as Status;
  const where = useCell(zone);
  const at = num(status.now_unix_us);
  const seconds = RANGES.find(([id]) => id === range)?.[2] ?? 300;
  const from = at - seconds * 1e6;
  const past = usePast(seconds, at);
  const points = useMemo(() => joined(past, now.history, from), [past, now.history, Math.floor(from / 1e6)]);
  const t = useMemo(() => points.map((each) => each.t), [points]);
  const waits = useMemo(() => past.filter((each) => each.t >= from && each.waitP99 !== null), [past]);
  const waitTimes = useMemo(() => waits.map((each) => each.t), [waits]);
  const stuck = num(status.waiting_no_worker) + num(status.waiting_paused) + num(status.waiting_held);
  const drain = num(status.drain_eta_unix_us);
  const late = num(status.drain_eta_p90_unix_us);
  const until = at + (seconds * 1e6) / 2;
  const ahead = forecast(at, num(status.waiting), stuck, { p10: num(status.drain_eta_p10_unix_us), p50: drain, p90: late }, until);
  const end = ahead?.t.at(-1) ?? at;
  const most = Math.max(10, ...points.map((each) => each.waiting ?? 0));
  const flowMost = Math.max(1, ...points.map((each) => Math.max(each.finished ?? 0, each.arrived ?? 0)));
  const waitRange = [Math.min(...waits.map((each) => each.waitP50 ?? Infinity), 1e6), Math.max(...waits.map((each) => each.waitP99 ?? 0), 1e6)];
  const percent = (value: number) => share(value);
  const common = { from, to: at, now: at, t };
  const last = points.at(-1);
  const known = points.map(() => null);
  const future = (values: number[] | null | undefined) => (values ? [...known, ...values] : [...known, ...(ahead?.t ?? []).map(() => null)]);
  const opened = now.history[0]?.t ?? at;
  const reasons = status.waiting_by;
  const third = waits.length > 1 ? "" : "third";
  return (
    <>
      <TimeChart {...common} class={reasons ? "c8 keep" : "c12"} title="Tasks waiting" height={218}
        sub={ahead ? "and when the queue should be empty" : past.length > 0 || opened <= from ? "" : "since this page was opened"}
        t={ahead ? [...t, ...ahead.t] : t} to={ahead ? at + (end - at) * 1.15 : at}
        said={`${count(num(status.waiting))} wait${ahead ? `, most likely none at ${clock(drain, where)}` : ""}`}
        y={{ min: 0, max: most * 1.12, write: short }}
        note={ahead && drain <= until ? { t: drain, value: stuck, text: `empty ${clock(drain, where, false)}` } : undefined}
        between={ahead?.low && ahead.high ? [{ high: 3, low: 2, color: "pred-fill", alpha: 1, hatch: true }] : []}
        lines={[
          { label: "waiting", values: ahead ? [...points.map((each) => each.waiting), ...ahead.t.map(() => null)] : points.map((each) => each.waiting), color: "run-fill", key: "run", fill: true, write: count },
          { label: "forecast", values: future(ahead?.mid), color: "pred-fill", key: ahead ? "pred dash" : "", dash: true, write: about },
          { label: "one in ten", values: future(ahead?.low), color: "pred-fill", key: "", width: 0, spans: true, write: about },
          { label: "nine in ten", values: future(ahead?.high), color: "pred-fill", key: "", width: 0, spans: true, write: about },
        ]} />
      {reasons && <WhyWaiting reasons={reasons} />}
      <TimeChart {...common} class={`c3 ${third}`} title="In and out" sub="tasks a second" said={`${rate(last?.finished ?? 0)} finish, ${rate(last?.arrived ?? 0)} arrive`}
        y={{ min: 0, max: flowMost * 1.15, write: (v) => rate(v).replace("/s", "") }}
        lines={[
          { label: "finished", values: points.map((each) => each.finished), color: "run-fill", key: "run", write: (v) => rate(v).replace("/s", "") },
          { label: "submitted", values: points.map((each) => each.arrived), color: "edge", key: "soft", width: 1.25, write: (v) => rate(v).replace("/s", "") },
        ]} />
      {waits.length > 1 ? (
        <TimeChart {...common} t={waitTimes} class="c3" title="Wait before start" said={`p50 ${duration(waits.at(-1)?.waitP50 ?? 0)}, p99 ${duration(waits.at(-1)?.waitP99 ?? 0)}`}
          y={{ min: 10 ** Math.floor(Math.log10(Math.max(1, waitRange[0]))), max: 10 ** Math.ceil(Math.log10(waitRange[1] * 1.01)), write: (v) => duration(v).replace(".0", ""), log: true }}
          lines={[
            { label: "p50", values: waits.map((each) => each.waitP50), color: "run-fill", key: "run", write: duration },
            { label: "p99", values: waits.map((each) => each.waitP99), color: "edge", key: "soft", width: 1.25, write: duration },
          ]} />
      ) : (
        <TimeChart {...common} class="c3" title="Slots taken" sub={`of ${count(status.slots)}`} said={`${percent(last?.busy ?? 0)} of the slots are taken`}
          y={{ min: 0, max: 1.02, write: percent }} lines={[{ label: "taken", values: points.map((each) => each.busy), color: "run-fill", key: "run", fill: true, write: percent }]} />
      )}
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

const REASONS_MAX = 7;
function WhyWaiting({ reasons }: { reasons: NonNullable<Status["waiting_by"]> }) {
  const most = Math.max(1, ...reasons.map((each) => num(each.count)));
  return (
    <Panel title="Why tasks wait" sub="each for exactly one reason" class="c4 keep">
      {reasons.length === 0 ? <p class="faint small">No task waits.</p> : (
        <div class="lists">{reasons.slice(0, REASONS_MAX).map((each) => (
          <a class="share" href={link("tasks", "", { state: "waiting" })} key={each.reason} title={visible(each.culprit)}>
            <span class="clip">{reasonMany(reasonOf(each))}{each.culprit !== "" && <span class="faint"> · <Name>{each.culprit}</Name></span>}</span><b>{count(num(each.count))}</b><Bar share={num(each.count) / most} kind="wait" thin />
          </a>
        ))}</div>
      )}
    </Panel>
  );
}

function TypeTable({ types, wide }: { types: readonly TypeStat[]; wide: boolean }) {
  const { lately, of: weight } = slotTimeOf(types);
  const all = types.reduce((sum, each) => sum + weight(each), 0) || 1;
  const top = [...types].sort((a, b) => weight(b) - weight(a)).slice(0, TYPES_MAX);
  const most = weight(top[0]) || 1;
  return (
    <Panel title="Where the time of the slots goes" sub={`${lately ? "last 15 min" : "runs by their mean"}; ${top.length} of ${plural(types.length, "type")}`} class={wide ? "c12" : "c8 keep"}>
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

const TENANTS_MAX = 8;
function Tenants({ tenants, wide }: { tenants: readonly Tenant[]; wide: boolean }) {
  const top = [...tenants].sort((a, b) => b.got_15m - a.got_15m || b.entitled - a.entitled).slice(0, TENANTS_MAX);
  const most = Math.max(0.01, ...top.map((each) => Math.max(each.got_15m, each.entitled)));
  return (
    <Panel title="Tenants" sub="share got; mark: what is theirs" class={wide ? "c12" : "c4"} tools={<a class="small" href={link("queues")}>All</a>}>
      <div class="lists">{top.map((each) => <GotShare tenant={each} most={most} key={each.name} />)}</div>
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
