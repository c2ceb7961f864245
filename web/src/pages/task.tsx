// Where is it, when is it done, why so long, why there?

import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import type { PageProps } from "../app.tsx";
import { explainPath, pathOf } from "../lib/api.ts";
import { type Answer, useAnswer, useLive } from "../lib/ask.ts";
import { regretOf } from "../lib/decisions.ts";
import { bytes, count, duration, num, plural, predicted, share } from "../lib/format.ts";
import { link } from "../lib/router.ts";
import { sharesOf } from "../lib/timeline.ts";
import type { Attempt, Explanation, Task, TaskSpec, TypeStat } from "../lib/wire.ts";
import { exclusionWord, hasEnded, outcomeWord, reasonOf, reasonWord, sentence, sinceStart, stateOf, waited } from "../lib/words.ts";
import { FactorBars } from "../ui/factors.tsx";
import { Glyph, Icon } from "../ui/glyph.tsx";
import { Histogram } from "../ui/histogram.tsx";
import { Ago, Copy, Kv, Labels, Name, Panel, Pill, PredictedTime, Scroll, ShareLine, TaskLink, Terminal, Time, Until, Verdict, WorkerLink, useNow, visible } from "../ui/parts.tsx";
import { Empty, ErrorBox, Skeleton } from "../ui/states.tsx";
import { TaskActs } from "../ui/taskacts.tsx";
import { Timeline } from "../ui/timeline.tsx";

const EVERY_MS = 2000;
const ENDED_MS = 30_000;

const WHEN: Record<string, string> = { submission: "at submission", dispatch: "at dispatch", now: "latest" };

export default function TaskPage({ place }: PageProps) {
  const id = place.name;
  const now = useLive<Task>(pathOf("/v1/tasks/{id}", { id }));
  const whole = useAnswer<Task>(pathOf("/v1/tasks/{id}", { id }, { result: true }));
  // What was decided, and why it waits: again when something of it changed, and while it waits every so often.
  const first = useAnswer(explainPath(id), now.data && stateOf(now.data) !== "waiting" ? 0 : EVERY_MS);
  const story = storyOf(now.data);
  useEffect(() => {
    if (story === "" || first.data === undefined) return;
    first.again();
    whole.again();
  }, [story]);
  const type = useAnswer<TypeStat>(first.data ? pathOf("/v1/types/{type}", { type: first.data.task.type }) : null, ENDED_MS);
  if (!first.data) {
    if (first.problem?.status === 404) return <Unknown detail={first.problem.detail} />;
    return first.problem ? <ErrorBox problem={first.problem} again={first.again} /> : <><Skeleton height="5rem" /><Skeleton height="12rem" /></>;
  }
  const task = now.data ?? first.data.task;
  return <Known told={first} task={withMore(task, whole.data)} type={type.data} />;
}

// What an explanation depends on.
function storyOf(task: Task | undefined): string {
  return task ? [task.state, task.waiting?.reason, task.waiting?.culprit, ...(task.attempts ?? []).map((each) => each.outcome)].join(" ") : "";
}

// What only the whole task tells; the stream is newer.
function withMore(task: Task, whole: Task | undefined): Task {
  return { ...task, metadata: whole?.metadata ?? task.metadata, waits: task.waits ?? whole?.waits, estimates: task.estimates ?? whole?.estimates, spec: task.spec ?? whole?.spec };
}

function Unknown({ detail }: { detail: string }) {
  return <><Verdict title="No task has this id." /><section class="panel"><Empty text={`${sentence(visible(detail))} History is kept for a limited time.`} command="nexus task list" /></section></>;
}

function Known({ told, task, type }: { told: Answer<Explanation>; task: Task; type: TypeStat | undefined }) {
  const explained = told.data as Explanation;
  const { decision } = explained;
  const state = stateOf(task);
  const waiting = state === "waiting";
  return (
    <>
      {told.problem && <ErrorBox problem={told.problem} again={told.again} />}
      <Head explained={explained} task={task} again={told.again} />
      <div class="grid">
        <Timeline task={task} />
        {waiting && <WhyItWaits explained={explained} task={task} />}
        {decision && <WhyHere explained={explained} wide={waiting} />}
        <WhyThatLong task={task} type={type} />
        <Attempts task={task} />
        <AskedFor task={task} />
        <WhereTimeWent task={task} />
        <Terminal lines={[`nexus task explain ${task.id}`, `nexus task watch ${task.id}`]} />
      </div>
    </>
  );
}

function Head({ explained, task, again }: { explained: Explanation; task: Task; again: () => void }) {
  return (
    <Verdict title={<Title task={task} />} acts={<TaskActs task={task} onDone={again} />}
             chips={<><Pill state={stateOf(task)} /><span class="chip"><Name>{task.tenant}</Name></span><span class="chip">queue <Name>{task.queue}</Name></span><span class="chip">priority {task.priority}</span></>}>
      <p><Name>{sentence(explained.summary)}</Name> <Promise task={task} /></p>
      <div class="row small faint">
        <a href={link("types", task.type)}><b><Name>{task.type}</Name></b></a><span class="mono">{task.id}</span>
        <Copy text={task.id} label="Copy the id"><Icon name="copy" />Copy</Copy>
        <span>submitted <Time us={num(task.submitted_unix_us)} />, <Ago us={num(task.submitted_unix_us)} /></span>
        {task.redrive_of && <span>retries <TaskLink id={task.redrive_of} /></span>}
      </div>
    </Verdict>
  );
}

function Title({ task }: { task: Task }): ComponentChildren {
  const now = useNow();
  const state = stateOf(task);
  const worker = task.attempts?.at(-1)?.worker ?? "";
  const done = num(task.eta?.finish_p50_unix_us);
  if (state === "running" || state === "assigned" || state === "paused") {
    const verb = state === "paused" ? "Is paused on" : state === "assigned" ? "Is about to start on" : "Runs on";
    return <>{verb} <Name>{worker}</Name>{done > now ? <>, most likely until <PredictedTime us={done} />: <Until us={done} />.</> : done > 0 ? ", and should be done any moment." : "."}</>;
  }
  if (state === "waiting") {
    const start = num(task.eta?.start_p50_unix_us);
    const why = task.waiting ? reasonWord(reasonOf(task.waiting)) : "its turn";
    return <>Waits: {why}{start > 0 ? <>; starts about <PredictedTime us={start} />, done about <PredictedTime us={done} />.</> : "."}</>;
  }
  const took = num(task.run_us);
  if (state === "succeeded") return <>Succeeded on <Name>{worker}</Name>{took > 0 ? ` in ${duration(took)}` : ""}.</>;
  return <>{state === "dead" ? "Failed for good" : state === "cancelled" ? "Was cancelled" : "Expired"}{task.attempts?.length ? ` after ${plural(task.attempts.length, "attempt")}` : " before it started"}.</>;
}

function Promise({ task }: { task: Task }) {
  const by = num(task.promise?.finish_p90_unix_us);
  if (by === 0) return null;
  const end = num(task.finished_unix_us);
  if (hasEnded(task)) return end <= by ? <>It had been promised by <PredictedTime us={by} />: kept by {duration(by - end)}.</> : <>It had been promised by <PredictedTime us={by} />: missed by {duration(end - by)}.</>;
  const now90 = num(task.eta?.finish_p90_unix_us);
  return <>{now90 > 0 && <>In nine of ten cases it is done by <PredictedTime us={now90} />. </>}It had been promised by <PredictedTime us={by} />.</>;
}

function WhyItWaits({ explained, task }: { explained: Explanation; task: Task }) {
  const { waiting } = task;
  const excluded = Object.entries(explained.workers_excluded ?? {}).sort(([, a], [, b]) => b - a);
  const total = Math.max(1, explained.workers_total);
  if (!waiting) return null;
  const ahead = num(explained.tasks_ahead);
  return (
    <Panel title="Why it waits" sub="for exactly one reason" class="c7 keep">
      <div class="stack">
        <Kv rows={[
          ["Reason", <><b>{reasonOf(waiting).replaceAll("_", " ")}</b>: {reasonWord(reasonOf(waiting))}</>],
          waiting.culprit !== "" && ["Because of", <Name>{waiting.culprit}</Name>],
          ["Since", <><Time us={num(waiting.since_unix_us)} />, <Ago us={num(waiting.since_unix_us)} /></>],
          ["Until about", num(waiting.until_unix_us) > 0 ? <PredictedTime us={num(waiting.until_unix_us)} /> : <span class="faint">unknown: nothing tells when this ends</span>],
          ["Before it", ahead > 0 ? <>{plural(ahead, "task")}, <span class="pred">about {predicted(num(explained.work_ahead_us))}</span> of work</> : "no task"],
          waiting.remedy !== "" && ["What would free it", <Name>{waiting.remedy}</Name>],
          num(explained.overtaken_until_unix_us) > 0 && ["Overtaking", <>its tenant's tasks that come after <Time us={num(explained.overtaken_until_unix_us)} /> go after it, unless their priority is higher</>],
        ]} />
        <h3>{explained.workers_total === 1 ? "The one worker" : `The ${count(explained.workers_total)} workers`}</h3>
        <div class="lists">
          {explained.workers_eligible > 0 && <ShareLine text="may run it" value={count(explained.workers_eligible)} share={explained.workers_eligible / total} kind="" />}
          {excluded.map(([reason, n]) => <ShareLine text={<Name>{exclusionWord(reason)}</Name>} value={count(n)} share={n / total} kind="wait" />)}
        </div>
      </div>
    </Panel>
  );
}

function WhyHere({ explained, wide }: { explained: Explanation; wide: boolean }) {
  const { decision } = explained;
  if (!decision) return null;
  const { task } = explained;
  const end = num(task.finished_unix_us) || num(task.eta?.finish_p50_unix_us);
  const regret = regretOf(decision);
  const robin = decision.baseline_worker !== "" && decision.baseline_worker !== decision.worker;
  const excluded = Object.entries(explained.workers_excluded ?? {}).sort(([, a], [, b]) => b - a);
  return (
    <Panel title={<>Why <Name>{decision.worker || "this"}</Name>?</>} class={wide ? "c12" : "c7 keep"}>
      <div class="stack">
        <p><Name>{sentence(decision.reason)}</Name> {decision.eligible_free > 0 && `${plural(decision.eligible_free, "worker")} that may run it had a free slot; ${plural(num(decision.waiting), "task")} waited.`}</p>
        <FactorBars decision={decision} />
        {(decision.runner_ups ?? []).length > 0 && <p class="small soft">Next in turn: {(decision.runner_ups ?? []).slice(0, 3).map((each, i) => <>{i > 0 && ", "}{each.task_id ? <TaskLink id={each.task_id} /> : "a task of another tenant"}, {duration(num(each.behind_us))} behind</>)}.</p>}
        {robin && <div class="note row" style={{ flexWrap: "nowrap" }}><Glyph name="info" /><p><b>Otherwise: </b>round-robin would have taken <Name>{decision.baseline_worker}</Name>{compared(num(explained.baseline_finish_unix_us), end)}.{num(explained.second_finish_unix_us) > 0 && regret === 0 && <> The next best worker: done <Until us={num(explained.second_finish_unix_us)} />{compared(num(explained.second_finish_unix_us), end)}.</>}</p></div>}
        {regret > 0 && <p class="small">It ended <b>{duration(regret)}</b> later than the next best worker would most likely have ended it.</p>}
        {decision.fallback && <div class="note">No prediction in time, so round-robin decided.</div>}
        {num(decision.lost_us) > 0 && <p class="small">Stopped for another task: {duration(num(decision.lost_us))} of work lost, {duration(num(decision.saved_us))} of waiting saved.</p>}
        {excluded.length > 0 && (
          <details><summary class="small">Why not one of the others</summary>
            <Scroll label="Why not one of the others"><table style={{ marginTop: ".375rem" }}><tbody>{excluded.map(([reason, n]) => <tr><td class="num" style={{ width: "3rem", paddingLeft: 0 }}>{count(n)}</td><td class="wrap"><Name>{exclusionWord(reason)}</Name></td></tr>)}</tbody></table></Scroll>
          </details>
        )}
        <p class="small faint">Decision <a class="mono" href={link("decisions", decision.number)}>{count(num(decision.number))}</a> · policy {decision.policy} · model {decision.model} · <Time us={num(decision.at_unix_us)} /></p>
      </div>
    </Panel>
  );
}

// How another choice would have ended, against this one.
function compared(other: number, end: number): ComponentChildren {
  if (other <= 0 || end <= 0) return "";
  const later = other - end;
  return Math.abs(later) < 5e4 ? ", which would have ended at the same time" : <>, most likely <span class="pred">{predicted(Math.abs(later))}</span> {later > 0 ? "later" : "earlier"}</>;
}

function WhyThatLong({ task, type }: { task: Task; type: TypeStat | undefined }) {
  const now = useNow();
  const estimate = task.estimate;
  const [p50, p90] = [num(estimate?.p50_us), num(estimate?.p90_us)];
  const elapsed = sinceStart(task, now);
  const running = stateOf(task) === "running";
  return (
    <Panel title="Why that long?" class="c5 keep">
      <div class="stack">
        <p>{type && type.payload_slope > 0.05 ? <>Runs of <Name>{type.type}</Name> grow with <Name>{type.size_name || "payload"}</Name>. </> : null}{type && num(type.samples) < 10 ? `Still learning: ${plural(num(type.samples), "run")}.` : type ? `${share(type.within_25)} of its recent predictions were within 25 %.` : ""}</p>
        {type && <Histogram type={type} p50={p50} p90={p90} elapsed={running || hasEnded(task) ? elapsed : undefined} ended={hasEnded(task)} height={124} />}
        <Scroll label="Predictions made">
          <table>
            <thead><tr><th style={{ paddingLeft: 0 }}>Predicted</th><th class="num">p50</th><th class="num">P90</th><th class="opt">by</th></tr></thead>
            <tbody>
              {(task.estimates ?? []).map((each) => <tr key={each.at_unix_us + each.when}><td style={{ paddingLeft: 0 }}>{WHEN[each.when] ?? each.when} <Time us={num(each.at_unix_us)} /></td><td class="num pred">{predicted(num(each.p50_us))}</td><td class="num pred">{predicted(num(each.p90_us))}</td><td class="mono opt"><Name>{each.source}</Name></td></tr>)}
              {!(task.estimates ?? []).some((each) => each.when === "now") && <tr><td style={{ paddingLeft: 0 }}>latest</td><td class="num pred">{predicted(p50)}</td><td class="num pred">{predicted(p90)}</td><td class="mono opt"><Name>{estimate?.source ?? ""}</Name></td></tr>}
              {!task.estimates && (task.attempts ?? []).map((attempt) => num(attempt.predicted_us) > 0 && <tr><td style={{ paddingLeft: 0 }}>at dispatch of attempt {attempt.number}</td><td class="num pred">{predicted(num(attempt.predicted_us))}</td><td class="num">{num(attempt.predicted_p90_us) > 0 ? predicted(num(attempt.predicted_p90_us)) : "–"}</td><td class="mono opt"><Name>{attempt.source ?? ""}</Name></td></tr>)}
            </tbody>
          </table>
        </Scroll>
      </div>
    </Panel>
  );
}

function Attempts({ task }: { task: Task }) {
  const list = task.attempts ?? [];
  if (list.length === 0) return null;
  return (
    <Panel title="Attempts" class="c12">
      <Scroll label="Attempts" flush>
        <table>
          <thead><tr><th>Attempt</th><th>Worker</th><th>Outcome</th><th>Started</th><th class="num">Ran</th><th class="num">Predicted</th><th class="num opt">Peak memory</th><th class="num opt">Fence</th><th>Error, or progress</th></tr></thead>
          <tbody>{list.map((attempt) => <AttemptRow attempt={attempt} task={task} />)}</tbody>
        </table>
      </Scroll>
    </Panel>
  );
}
function AttemptRow({ attempt, task }: { attempt: Attempt; task: Task }) {
  const now = useNow();
  const one = { ...task, attempts: [attempt] };
  const outcome = attempt.outcome || stateOf(task);
  const glyph = outcome === "succeeded" || outcome === "running" || outcome === "paused" || outcome === "assigned" ? outcome : "dead";
  return (
    <tr title={attempt.attempt_id}>
      <td>{attempt.number}</td><td><WorkerLink name={attempt.worker} /></td><td><Pill state={glyph} text={outcomeWord(outcome)} /></td>
      <td><Time us={num(attempt.started_unix_us)} /></td><td class="num">{duration(sinceStart(one, now))}</td><td class="num pred">{num(attempt.predicted_us) > 0 ? predicted(num(attempt.predicted_us)) : "–"}</td>
      <td class="num opt">{num(attempt.peak_memory_bytes) > 0 ? bytes(num(attempt.peak_memory_bytes)) : "–"}</td><td class="num opt">{attempt.fence === "0" ? "–" : attempt.fence}</td>
      <td class="wrap"><Name>{attempt.error || [attempt.progress > 0 ? share(attempt.progress) : "", attempt.progress_note].filter(Boolean).join(" · ")}</Name></td>
    </tr>
  );
}

function AskedFor({ task }: { task: Task }) {
  return (
    <Panel title={task.spec ? "What it asked for" : "What is known of it"} class="c7 keep">
      <div class="cols">
        <Kv rows={[
          ["Tenant", <a href={link("tasks", "", { tenant: task.tenant })}><Name>{task.tenant}</Name></a>],
          ["Queue", <a href={link("tasks", "", { queue: task.queue })}><Name>{task.queue}</Name></a>],
          ["Priority", `${task.priority} of 0 to 9`],
          ["Attempts", `${plural(task.failures, "failure")}, ${plural(task.crashes, "crash", "crashes")}`],
          task.error !== "" && ["Error", <span class="bad"><Name>{task.error}</Name></span>],
        ]} />
        <Kv rows={[
          ...askedFor(task.spec),
          ["Payload", <>{bytes(num(task.payload_bytes))} <span class="faint">· never shown here</span></>],
          ["Metadata", <Labels labels={task.metadata} sign=": " />],
        ]} />
      </div>
    </Panel>
  );
}

// What is set beyond the defaults.
function askedFor(spec: TaskSpec | undefined): [string, ComponentChildren][] {
  if (!spec) return [];
  const rows: [string, ComponentChildren, boolean][] = [
    ["Requires", <Labels labels={spec.labels_required} />, Object.keys(spec.labels_required ?? {}).length > 0],
    ["Prefers", <Labels labels={spec.labels_preferred} />, Object.keys(spec.labels_preferred ?? {}).length > 0],
    ["Avoids", <Labels labels={spec.labels_forbidden} />, Object.keys(spec.labels_forbidden ?? {}).length > 0],
    ["Needs", [num(spec.resources?.cpu_milli) > 0 && `${num(spec.resources?.cpu_milli) / 1000} cores`, num(spec.resources?.memory_bytes) > 0 && bytes(num(spec.resources?.memory_bytes)), num(spec.resources?.gpu_milli) > 0 && `${num(spec.resources?.gpu_milli) / 1000} GPU`,
      ...Object.entries(spec.resources?.custom ?? {}).map(([name, value]) => `${visible(name)} ${value}`)].filter(Boolean).join(", "), spec.resources !== undefined && (num(spec.resources.cpu_milli) > 0 || num(spec.resources.memory_bytes) > 0 || num(spec.resources.gpu_milli) > 0 || Object.keys(spec.resources.custom ?? {}).length > 0)],
    ["Not before", <Time us={num(spec.run_at_unix_us)} />, num(spec.run_at_unix_us) > 0],
    ["Not after", <Time us={num(spec.deadline_unix_us)} />, num(spec.deadline_unix_us) > 0],
    ["Comes after", <>{(spec.after ?? []).slice(0, 5).map((id, i) => <>{i > 0 && ", "}<TaskLink id={id} /></>)}{(spec.after ?? []).length > 5 && `, and ${(spec.after ?? []).length - 5} more`}</>, (spec.after ?? []).length > 0],
    ["One at a time", <>key <Name>{spec.ordering_key}</Name></>, Boolean(spec.ordering_key)],
    ["At once", <>{spec.concurrency_max || 1} of key <Name>{spec.concurrency_key}</Name></>, Boolean(spec.concurrency_key)],
    ["Longest run", duration(num(spec.timeout_us)), num(spec.timeout_us) > 0],
    ["Attempts", `at most ${spec.retry?.attempts_max}`, (spec.retry?.attempts_max ?? 0) > 0],
    ["May", [spec.idempotent && "run twice", spec.preemptible && "be stopped for others", spec.exclusive && "never overlap itself"].filter(Boolean).join(", "), Boolean(spec.idempotent || spec.preemptible || spec.exclusive)],
  ];
  return rows.filter(([, , told]) => told).map(([name, value]) => [name, value]);
}

function WhereTimeWent({ task }: { task: Task }) {
  const now = useNow();
  const list = sharesOf(task, now);
  const most = Math.max(1, ...list.map((each) => each.us));
  const whole = (num(task.finished_unix_us) || now) - num(task.submitted_unix_us);
  return (
    <Panel title="Where the time went" sub={`${duration(whole)}${hasEnded(task) ? "" : " so far"}`} class="c5 keep">
      <div class="lists">{list.length === 0 ? <p class="faint small">It waited {duration(waited(task, now))}.</p> : list.map((each) => <ShareLine text={<Name>{each.text}</Name>} value={duration(each.us)} share={each.us / most} kind={each.kind === "run" ? "" : each.kind} />)}</div>
    </Panel>
  );
}
