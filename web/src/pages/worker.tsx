// Why is this worker as it is?

import type { PageProps } from "../app.tsx";
import { pathOf } from "../lib/api.ts";
import { useAnswer } from "../lib/ask.ts";
import { useCell } from "../lib/cell.ts";
import { duration, factor, num, plural, share } from "../lib/format.ts";
import { world } from "../lib/live.ts";
import { link } from "../lib/router.ts";
import type { Task, TaskPage, Worker, WorkerRun } from "../lib/wire.ts";
import { condition, sinceStart, slowness, stateOf } from "../lib/words.ts";
import { Ago, Copy, Name, Panel, Pill, Scroll, TaskLink, Terminal, TypeLink, Verdict } from "../ui/parts.tsx";
import { Icon } from "../ui/glyph.tsx";
import { Events } from "../ui/events.tsx";
import { Plot } from "../ui/plot.tsx";
import { Answered, Empty, Skeleton } from "../ui/states.tsx";
import { WorkerActs } from "../ui/workeracts.tsx";
import { RunningHere, WorkerFacts, WorkerNote, speedText } from "../ui/workerparts.tsx";

const ENDED_MS = 5000;
const RUNS = 36;
const ROWS = 15;

export default function WorkerPage({ place }: PageProps) {
  const { workers, status } = useCell(world);
  const worker = workers.find((each) => each.name === place.name);
  if (!status) return <><Skeleton height="3.5rem" /><Skeleton height="16rem" /></>;
  if (!worker) return <Unknown name={place.name} workers={workers} />;
  return <Known worker={worker} />;
}

function Unknown({ name, workers }: { name: string; workers: readonly Worker[] }) {
  const near = nearest(name, workers.map((each) => each.name));
  return (
    <>
      <Verdict title="No worker of that name is known." />
      <section class="panel"><Empty text={near ? "The nearest name is this:" : "None has connected lately."}>{near && <a href={link("workers", near)}><Name>{near}</Name></a>}</Empty></section>
    </>
  );
}
function nearest(name: string, names: readonly string[]): string | undefined {
  const common = (other: string) => {
    let n = 0;
    while (n < name.length && name[n] === other[n]) ++n;
    return n;
  };
  return [...names].sort((a, b) => common(b) - common(a))[0];
}

function Known({ worker }: { worker: Worker }) {
  const ended = useAnswer<TaskPage>(pathOf("/v1/tasks", {}, { worker: worker.name, state: "succeeded,dead,cancelled,expired", limit: RUNS }), ENDED_MS);
  const name = { name: worker.name };
  const detail = useAnswer(pathOf("/v1/workers/{name}", name), ENDED_MS).data;
  const events = useAnswer(pathOf("/v1/workers/{name}/events", name), ENDED_MS).data?.events ?? [];
  const runs = detail?.runs_recent ?? [];
  const state = condition(worker);
  const slow = slowness(worker);
  const title = state === "breaker" ? `${worker.name} stands behind an open breaker.` : state === "ready" ? `${worker.name} takes work: ${worker.running} of ${worker.slots} slots are taken.` : `${worker.name} is ${state === "suspect" ? "silent" : state}.`;
  return (
    <>
      <Verdict title={<Name>{title}</Name>} chips={<><Pill state={state} text={state === "breaker" ? `breaker ${worker.breaker}` : undefined} /><Copy text={location.href} label="Copy link to this worker"><Icon name="copy" />Copy link</Copy></>} acts={<WorkerActs worker={worker} />}>
        <p>Its runs take {factor(slow)} of the usual time ({speedText(worker)}); its slots were used {share(worker.utilization)} of the last half minute.</p>
      </Verdict>
      <div class="grid">
        <Panel title="What it is" class="c5 keep"><div class="stack"><WorkerNote worker={worker} /><WorkerFacts worker={worker} /></div></Panel>
        <div class="c7 keep stack">
          <Panel><RunningHere worker={worker} /></Panel>
          <Evidence runs={runs.length > 0 ? ratiosOf(runs) : (ended.data?.tasks ?? []).map((each) => ratio(each, worker.name)).filter((each) => each > 0)} />
        </div>
        <Events events={events} class="c12" />
        <Panel title="Ended here" sub={`the newest ${ROWS}`} class="c12" tools={<a class="small" href={link("tasks", "", { worker: worker.name })}>All its tasks</a>}>
          <Answered answer={ended}>{(page) => (page.tasks ?? []).length === 0 ? <p class="faint small">Nothing has ended here yet.</p> : <Ended tasks={(page.tasks ?? []).slice(0, ROWS)} worker={worker.name} />}</Answered>
        </Panel>
        <Terminal lines={[`nexus worker get ${worker.name}`]} />
      </div>
    </>
  );
}

function ratio(task: Task, worker: string): number {
  const attempt = task.attempts?.filter((each) => each.worker === worker).at(-1);
  const predicted = num(attempt?.predicted_us);
  const took = num(attempt?.run_us);
  return attempt?.outcome === "succeeded" && predicted > 0 && took > 0 ? took / predicted : 0;
}

// Of the runs that succeeded: how much longer than predicted. The newest first, as the breaker sees them.
export function ratiosOf(runs: readonly WorkerRun[]): number[] {
  return runs.filter((each) => each.outcome === "succeeded" && num(each.predicted_us) > 0 && num(each.run_us) > 0).map((each) => num(each.run_us) / num(each.predicted_us));
}

function Evidence({ runs: newest }: { runs: readonly number[] }) {
  const runs = newest.slice(0, RUNS).reverse();
  if (runs.length < 2) return null;
  const high = Math.max(5, ...runs);
  return (
    <Panel title={`Last ${runs.length} runs: took, over predicted`} sub="the breaker looks at ×2.5">
      <Plot height={110} label={`Took over predicted of the last ${runs.length} runs; ${plural(runs.filter((each) => each > 2.5).length, "run")} beyond ×2.5`}>
        {({ w, h, k }) => {
          const left = 34 * k;
          const y = (v: number) => 6 + (h - 22 * k) * (1 - (Math.log2(Math.max(0.25, v)) + 2) / (Math.log2(high) + 2.2));
          return (
            <>
              {[0.5, 1, 2.5, 5].map((v) => <><path class={v === 2.5 ? "flag" : "grid-line"} d={`M${left} ${y(v)}H${w}`} /><text class={v === 2.5 ? "t-warn" : ""} x={left - 5} y={y(v) + 3.5} text-anchor="end">×{v}</text></>)}
              {runs.map((v, i) => {
                const x = left + 6 + ((w - left - 12) * i) / Math.max(1, runs.length - 1);
                return v > 2.5 ? <path class="ln k-bad" stroke-width="2" d={`M${x - 3} ${y(v) - 3}l6 6m0-6l-6 6`} /> : <circle class="f-run" cx={x} cy={y(v)} r={2.4 * k} opacity=".8" />;
              })}
              <text x={left} y={h - 3}>older</text><text x={w} y={h - 3} text-anchor="end">latest</text>
            </>
          );
        }}
      </Plot>
    </Panel>
  );
}

function Ended({ tasks, worker }: { tasks: readonly Task[]; worker: string }) {
  return (
    <Scroll label="Ended tasks" flush>
      <table>
        <thead><tr><th>Task</th><th>Type</th><th>End</th><th class="num">Took</th><th class="num opt">Predicted</th><th class="num">Took over predicted</th><th class="opt">Error</th></tr></thead>
        <tbody>{tasks.map((task) => {
          const attempt = task.attempts?.filter((each) => each.worker === worker).at(-1);
          const factorOf = ratio(task, worker);
          return (
            <tr key={task.id}>
              <td><TaskLink id={task.id} /></td><td><TypeLink name={task.type} /></td>
              <td><Pill state={stateOf(task)} /> <Ago us={num(task.finished_unix_us)} /></td>
              <td class="num">{duration(sinceStart(task, 0))}</td><td class="num opt pred">{num(attempt?.predicted_us) ? duration(num(attempt?.predicted_us)) : "–"}</td>
              <td class="num">{factorOf > 0 ? factor(factorOf) : "–"}</td><td class="opt"><Name>{attempt?.error ?? ""}</Name></td>
            </tr>
          );
        })}</tbody>
      </table>
    </Scroll>
  );
}
