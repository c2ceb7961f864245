// What was decided?

import { outcomeWord, sentence } from "../lib/words.ts";
import { askedOf, filterWords, offBy, regretOf, spanOf, withRegret } from "../lib/decisions.ts";
import { useEffect, useState } from "preact/hooks";
import type { PageProps } from "../app.tsx";
import { get, pathOf } from "../lib/api.ts";
import { useAnswer } from "../lib/ask.ts";
import { download } from "../lib/download.ts";
import { count, duration, factor, num, plural, predicted } from "../lib/format.ts";
import { go, link, set } from "../lib/router.ts";
import { at } from "../lib/url.ts";
import type { Decision, DecisionPage } from "../lib/wire.ts";
import { FactorBars } from "../ui/factors.tsx";
import { Kv, Name, Panel, Pill, TaskLink, Terminal, Time, Verdict, WorkerLink, visible } from "../ui/parts.tsx";
import { Answered, Empty, NoMatch } from "../ui/states.tsx";
import { type Column, VirtualTable } from "../ui/virtual.tsx";

const PAGE = 100;
const KEEP = 1000;

export default function Decisions({ place }: PageProps) {
  if (place.name !== "") return <One number={place.name} />;
  return <List query={place.query} />;
}

const COLUMNS: Column<Decision>[] = [
  { name: "Number", cell: (d) => <a class="mono" href={link("decisions", d.number)}>{count(num(d.number))}</a> },
  { name: "Time", cell: (d) => <Time us={num(d.at_unix_us)} /> },
  { name: "Why then", cell: (d) => <Name>{d.reason}</Name> },
  { name: "Task", cell: (d) => <TaskLink id={d.task_id} /> },
  { name: "Worker", cell: (d) => <WorkerLink name={d.worker} /> },
  { name: "Round-robin", class: "opt", cell: (d) => (d.baseline_worker === d.worker ? <span class="faint">the same</span> : <Name>{d.baseline_worker || "–"}</Name>) },
  { name: "Predicted", class: "num", cell: (d) => <span class="pred">{num(d.estimate?.p50_us) > 0 ? predicted(num(d.estimate?.p50_us)) : "–"}</span> },
];
const OUTCOME: Column<Decision>[] = [
  { name: "Took", class: "num", cell: (d) => (d.outcome && num(d.outcome.run_us) > 0 ? duration(num(d.outcome.run_us)) : <span class="faint">–</span>) },
  { name: "Took over predicted", class: "num opt", cell: (d) => { const off = offBy(d); return off === null ? <span class="faint">–</span> : <span class={off > 1.25 || off < 0.75 ? "warn" : ""}>{factor(off)}</span>; } },
  { name: "End", class: "opt", cell: (d) => (d.outcome?.result ? <Pill state={d.outcome.result === "succeeded" ? "succeeded" : "dead"} text={outcomeWord(d.outcome.result)} /> : <span class="faint">not ended</span>) },
];
const REGRET: Column<Decision> = { name: "Regret", class: "num", cell: (d) => (regretOf(d) > 0 ? duration(regretOf(d)) : <span class="faint">–</span>) };
const REST: Column<Decision>[] = [
  { name: "Free then", class: "num opt", cell: (d) => count(d.eligible_free) },
  { name: "Waiting then", class: "num opt", cell: (d) => count(num(d.waiting)) },
  { name: "Policy", class: "opt", cell: (d) => <>{d.policy}{d.fallback && <span class="warn"> · fallback</span>}</> },
];
function columnsOf(rows: readonly Decision[]): Column<Decision>[] {
  return [...COLUMNS, ...(rows.some((each) => each.outcome) ? OUTCOME : []), ...(rows.some((each) => each.outcome?.regret_us !== undefined) ? [REGRET] : []), ...REST];
}
// The kinds of a decision; a kind of one that is shown is offered, too.
const KINDS = ["arrival", "slot_freed", "bound", "speculation", "probe", "pinned", "fallback", "pause"];

function List({ query }: { query: Record<string, string> }) {
  const path = pathOf("/v1/decisions", {}, { ...askedOf(query), limit: PAGE } as { limit: number });
  const [follow, setFollow] = useState(false);
  const answer = useAnswer<DecisionPage>(path, follow ? 2000 : 0);
  const [more, setMore] = useState<{ path: string; rows: Decision[]; cursor?: string }>({ path: "", rows: [] });
  useEffect(() => setMore({ path, rows: [], cursor: answer.data?.next_page_token }), [path, answer.data]);
  const all = [...(answer.data?.decisions ?? []), ...(more.path === path ? more.rows : [])];
  const rows = withRegret(all, spanOf(query.regret));
  const next = async () => {
    if (!more.cursor) return;
    const page = await get<DecisionPage>(`${path}&cursor=${encodeURIComponent(more.cursor)}`);
    setMore({ path, rows: [...more.rows, ...(page.decisions ?? [])], cursor: page.next_page_token });
  };
  const words = filterWords(query);
  // A server that tells the outcome takes all filters; an older one knows task and worker.
  const judged = all.some((each) => each.outcome) || words !== "";
  const judges = all.some((each) => each.outcome?.regret_us !== undefined) || Boolean(query.regret);
  const field = (name: string, text: string, hint: string, width: string) => <label class="field">{text}<input class="text" style={{ width }} value={query[name] ?? ""} placeholder={hint} onChange={(e) => set({ [name]: e.currentTarget.value.trim() })} /></label>;
  return (
    <>
      <Verdict title={words ? "Decisions that match" : "What was decided lately"}><p>Each says which task went to which worker, why then, and what round-robin would have done.</p></Verdict>
      <form class="filterline" onSubmit={(e) => e.preventDefault()}>
        <label class="field">Task<input class="text" data-filter style={{ width: "22rem" }} value={query.task ?? ""} placeholder="whole id" onChange={(e) => set({ task: e.currentTarget.value.trim() })} /></label>
        {field("worker", "Worker", "name", "10rem")}
        {judged && <>
          {field("type", "Type", "name", "10rem")}
          <label class="field">Why then<select class="text" value={query.kind ?? ""} onChange={(e) => set({ kind: e.currentTarget.value })}><option value="">all</option>{[...new Set([...KINDS, ...(query.kind ? [query.kind] : [])])].map((each) => <option value={each}>{each.replaceAll("_", " ")}</option>)}</select></label>
          {field("from", "From", "2026-03-01T12:00Z", "11rem")}{field("to", "To", "2026-03-01T13:00Z", "11rem")}
          {judges && field("regret", "Regret of at least", "10s", "6rem")}
          <label class="row small check"><input type="checkbox" checked={query.fallback === "1"} onChange={(e) => set({ fallback: e.currentTarget.checked ? "1" : undefined })} />only round-robin's</label>
        </>}
      </form>
      <section class="panel" aria-label="Decisions">
        <header><small>{plural(rows.length, "decision")}, newest first{more.cursor ? "; more below" : ""}</small><span class="grow" />
          <label class="row small"><input type="checkbox" checked={follow} onChange={(e) => setFollow(e.currentTarget.checked)} />follow</label>
          <button type="button" class="btn tiny quiet" disabled={rows.length === 0} onClick={() => download("decisions.jsonl", rows.map((each) => JSON.stringify(each)).join("\n"))}>Export as JSON lines</button>
        </header>
        <div class="body">
          <Answered answer={answer} height="16rem">
            {() => rows.length === 0 ? (words ? <NoMatch filter={words} onDrop={() => go(at("decisions"))} /> : <Empty text="Nothing has been decided yet. A task makes a decision appear:" command="nexus task submit --type hello --wait -- echo hello" />)
              : <VirtualTable label="Decisions; Enter opens" rows={rows} columns={columnsOf(rows)} keyOf={(each) => each.id} total={-1} onOpen={(each) => go(at("decisions", each.number))} onEnd={more.cursor && rows.length < KEEP ? () => void next() : undefined} />}
          </Answered>
        </div>
      </section>
      <Terminal lines={[`nexus decision list${query.task ? ` --task ${query.task}` : ""}${query.worker ? ` --worker ${query.worker}` : ""}`]} />
    </>
  );
}

function One({ number }: { number: string }) {
  const some = /^\d+$/.test(number);
  const answer = useAnswer<DecisionPage>(some ? pathOf("/v1/decisions", {}, { number }) : null);
  const list = answer.data?.decisions ?? [];
  if (!some || (answer.data && list.length === 0))
    return <><Verdict title="No decision has this number." /><section class="panel"><Empty text="History is kept for a limited time, and not every event is a decision." /></section></>;
  return (
    <>
      <Verdict title={<>Decision {visible(number)}{list[0] && <>: <TaskLink id={list[0].task_id} /> goes to <Name>{list[0].worker || "nobody"}</Name></>}</>} />
      <Answered answer={answer} height="16rem">{() => <div class="grid">{list.map((each) => <Detail decision={each} key={each.id} />)}</div>}</Answered>
    </>
  );
}

function Detail({ decision }: { decision: Decision }) {
  return (
    <>
      <Panel title="Candidates" sub="the chosen one first" class="c7 keep"><div class="stack"><p><Name>{sentence(decision.reason)}</Name></p><FactorBars decision={decision} /></div></Panel>
      <Panel title="What was known" class="c5 keep">
        <Kv rows={[
          ["Task", <TaskLink id={decision.task_id} text={decision.task_id} />],
          ["Time", <Time us={num(decision.at_unix_us)} />],
          ["Worker", <WorkerLink name={decision.worker} />],
          decision.outcome !== undefined && num(decision.outcome.run_us) > 0 && ["Outcome", <>{decision.outcome.result ? outcomeWord(decision.outcome.result) : "ended"} after {duration(num(decision.outcome.run_us))}{offBy(decision) !== null && `, ${factor(offBy(decision) ?? 1)} of what was predicted`}{regretOf(decision) > 0 && <>; the next best worker would most likely have ended it {duration(regretOf(decision))} earlier</>}</>],
          ["Round-robin", decision.baseline_worker === decision.worker ? "would have taken the same" : <WorkerLink name={decision.baseline_worker} />],
          ["Estimate", <><span class="pred">{predicted(num(decision.estimate?.p50_us))}</span>, P90 <span class="pred">{predicted(num(decision.estimate?.p90_us))}</span>, by <Name>{decision.estimate?.source ?? "nobody"}</Name></>],
          ["Free workers", `${count(decision.eligible_free)} that may run it`],
          ["Waiting tasks", count(num(decision.waiting))],
          ["Policy", `${decision.policy}, model ${decision.model}${decision.fallback ? ", fallback to round-robin" : ""}`],
          decision.rival_task_id !== "" && ["Other task", <TaskLink id={decision.rival_task_id} />],
          num(decision.remaining_us) > 0 && ["Was to go on for", predicted(num(decision.remaining_us))],
          num(decision.lost_us) > 0 && ["Lost, saved", `${duration(num(decision.lost_us))} of work, ${duration(num(decision.saved_us))} of waiting`],
          ["Compared with", (decision.runner_ups ?? []).length === 0 ? "no other task" : <>{(decision.runner_ups ?? []).slice(0, 5).map((each, i) => <>{i > 0 && ", "}{each.task_id ? <TaskLink id={each.task_id} /> : "another tenant's"} ({duration(num(each.behind_us))} behind)</>)}</>],
        ]} />
      </Panel>
    </>
  );
}
