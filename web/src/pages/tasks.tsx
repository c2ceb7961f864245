// Where are my tasks?

import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import type { PageProps } from "../app.tsx";
import { get, pathOf } from "../lib/api.ts";
import { useAnswer } from "../lib/ask.ts";
import { predictionOf } from "../lib/band.ts";
import { useCell } from "../lib/cell.ts";
import { count, duration, num, plural, short } from "../lib/format.ts";
import { paused, world } from "../lib/live.ts";
import { go, set } from "../lib/router.ts";
import { FILTER_KEYS, append, filterFrom, filterText, listQuery, merge, statesOf } from "../lib/tasklist.ts";
import { at } from "../lib/url.ts";
import type { Status, Task, TaskPage } from "../lib/wire.ts";
import { TASK_STATES, hasEnded, sinceStart, stateOf, waited, waitsFor } from "../lib/words.ts";
import { Glyph } from "../ui/glyph.tsx";
import { Ago, Band, Name, Pill, TaskLink, Terminal, TypeLink, Until, Verdict, WorkerLink, kindOf, useNow } from "../ui/parts.tsx";
import { Empty, ErrorBox, NoMatch, Skeleton } from "../ui/states.tsx";
import { BulkActs } from "../ui/taskacts.tsx";
import { Peek } from "../ui/peek.tsx";
import { type Column, VirtualTable } from "../ui/virtual.tsx";

const PAGE = 100;
const KEEP = 2000;
const EVERY_MS = 2000;

export default function Tasks({ place }: PageProps) {
  const { status } = useCell(world);
  const query = place.query;
  const words = filterText(query);
  const asked = listQuery(query);
  const list = useList(pathOf("/v1/tasks", {}, { ...asked, limit: PAGE }), words);
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  useEffect(() => setChosen(new Set()), [words]);
  const filtered = words !== "";
  const total = totalOf(status, query);
  const toggle = (id: string) => {
    const next = new Set(chosen);
    if (!next.delete(id)) next.add(id);
    setChosen(next);
  };
  const onKey = (key: string, task: Task) => {
    if (key === "p") set({ task: query.task === task.id ? undefined : task.id }, "replace");
    else if (key === "x") toggle(task.id);
    else return false;
    return true;
  };
  return (
    <>
      <Verdict title={total === null ? "Tasks" : `${count(total)} ${total === 1 ? "task" : "tasks"}${query.state ? ` ${statesOf(query.state).join(" or ")}` : " in all"}.`} />
      <FilterLine query={query} status={status} />
      <div class={query.task ? "with-peek" : ""}>
        <section class="panel" aria-label="List of tasks" onPointerEnter={() => list.hold("pointer", true)} onPointerLeave={() => list.hold("pointer", false)} onFocusIn={() => list.hold("focus", true)} onFocusOut={() => list.hold("focus", false)}>
          <header>
            <small>{list.rows.length >= KEEP ? `the newest ${count(KEEP)}` : list.more ? `the newest ${count(list.rows.length)}, more below` : plural(list.rows.length, "task")}</small>
            {list.newer > 0 && <button type="button" class="chip run" onClick={list.follow}>{list.newer}{list.newer >= PAGE ? " or more" : ""} newer</button>}
            <span class="grow" />
            {chosen.size > 0 && <button type="button" class="btn tiny quiet" onClick={() => setChosen(new Set())}>Choose none</button>}
            {(chosen.size > 0 || filtered) && list.rows.length > 0 && <BulkActs ids={[...chosen]} tasks={list.rows} filter={asked} filterWords={words} onDone={() => (setChosen(new Set()), list.follow())} />}
          </header>
          <div class="body">
            {list.problem && <ErrorBox problem={list.problem} again={list.follow} />}
            {list.loading ? <Skeleton height="20rem" /> : list.rows.length === 0 ? (
              filtered ? <NoMatch filter={words} onDrop={() => set(Object.fromEntries(FILTER_KEYS.map((key) => [key, undefined])))} /> : <Empty text="Nothing has been submitted yet. This makes a task appear:" command="nexus task submit --type hello --wait -- echo hello" />
            ) : (
              <VirtualTable label="Tasks; Enter opens, p looks, x chooses" rows={list.rows} columns={columns(chosen, toggle)} keyOf={(each) => each.id} total={-1} current={query.task} selected={chosen}
                            onOpen={(each) => go(at("tasks", each.id))} onKey={onKey} onEnd={list.more ? list.next : undefined} />
            )}
          </div>
        </section>
        {query.task && <Peek id={query.task} onClose={() => set({ task: undefined }, "replace")} />}
      </div>
      <Terminal lines={[`nexus task list${query.state ? ` --state ${query.state}` : ""}${query.type ? ` --type ${query.type}` : ""}${query.tenant ? ` --tenant ${query.tenant}` : ""}`]} />
    </>
  );
}

// Of the counters, when they tell it: of one state or of all, without another filter.
function totalOf(status: Status | undefined, query: Record<string, string>): number | null {
  if (!status || FILTER_KEYS.some((key) => key !== "state" && query[key])) return null;
  const states = query.state ? statesOf(query.state) : TASK_STATES.filter((each) => each !== "assigned");
  if (states.includes("assigned") && !states.includes("running")) return null;
  return states.filter((each) => each !== "assigned").reduce((sum, each) => sum + counter(status, each), 0);
}
function counter(status: Status, state: string): number {
  return num(status[state as "waiting"] as string | undefined);
}

function FilterLine({ query, status }: { query: Record<string, string>; status: Status | undefined }) {
  const words = filterText(query);
  const [text, setText] = useState(words);
  useEffect(() => setText(words), [words]);
  const types = useAnswer(pathOf("/v1/types", {})).data?.types ?? [];
  const states = statesOf(query.state);
  const apply = (next: string, how: "push" | "replace") => set({ ...Object.fromEntries(FILTER_KEYS.map((key) => [key, undefined])), ...filterFrom(next) }, how);
  const flip = (state: string) => {
    const next = states.includes(state) ? states.filter((each) => each !== state) : [...states, state];
    set({ state: next.join(",") || undefined });
  };
  return (
    <div class="stack">
      <form class="filterline" onSubmit={(e) => (e.preventDefault(), apply(text, "push"))}>
        <input class="text" data-filter list="known" value={text} placeholder="Filter: state=waiting type=… tenant=… queue=… worker=… or any text" aria-label="Filter tasks" onInput={(e) => setText(e.currentTarget.value)} onBlur={() => text !== words && apply(text, "replace")} />
        <datalist id="known">{TASK_STATES.map((each) => <option value={`state=${each}`} />)}{types.slice(0, 50).map((each) => <option value={`type=${each.type}`} />)}</datalist>
        {words !== "" && <button type="button" class="btn tiny quiet" onClick={() => apply("", "push")}>Drop the filter</button>}
      </form>
      <div class="row" role="group" aria-label="States">
        {TASK_STATES.filter((each) => each !== "assigned").map((state) => (
          <button type="button" class="chip" aria-pressed={states.includes(state)} onClick={() => flip(state)}><Glyph name={state} kind={kindOf(state)} />{state} {status && <b>{short(counter(status, state))}</b>}</button>
        ))}
      </div>
    </div>
  );
}

// A click on a value filters by it.
function Value({ name, value }: { name: string; value: string }) {
  return <button type="button" class="value" title={`Only ${name} ${value}`} onClick={() => set({ [name]: value })}><Name>{value}</Name></button>;
}

function columns(chosen: ReadonlySet<string>, toggle: (id: string) => void): Column<Task>[] {
  return [
    { name: "", cell: (t) => <input type="checkbox" aria-label={`Choose task ${t.id}`} checked={chosen.has(t.id)} tabIndex={-1} onChange={() => toggle(t.id)} /> },
    { name: "State", cell: (t) => <Pill state={stateOf(t)} /> },
    { name: "Task", cell: (t) => <TaskLink id={t.id} /> },
    { name: "Type", cell: (t) => <TypeLink name={t.type} /> },
    { name: "Tenant", class: "opt", cell: (t) => <Value name="tenant" value={t.tenant} /> },
    { name: "Queue", class: "opt", cell: (t) => <Value name="queue" value={t.queue} /> },
    { name: "Where, or why not yet", cell: (t) => <Where task={t} /> },
    { name: "Run against prediction", cell: (t) => <RunBand task={t} /> },
    { name: "Waited", class: "num", cell: (t) => <Waited task={t} /> },
    { name: "Ran", class: "num", cell: (t) => <Ran task={t} /> },
    { name: "ETA, or ended", class: "num", cell: (t) => (hasEnded(t) ? <Ago us={num(t.finished_unix_us)} /> : <Until us={num(t.eta?.finish_p50_unix_us)} />) },
    { name: "Attempts", class: "num opt", cell: (t) => (t.attempts ?? []).length || "–" },
  ];
}

function Where({ task }: { task: Task }) {
  const attempt = task.attempts?.at(-1);
  if (stateOf(task) === "waiting") return <span class="soft" title={task.waiting?.remedy}><Name>{waitsFor(task)}</Name></span>;
  if (task.error) return <span class="bad"><Name>{task.error}</Name></span>;
  return <><WorkerLink name={attempt?.worker ?? ""} />{attempt?.progress_note && <span class="faint"> · <Name>{attempt.progress_note}</Name></span>}</>;
}
function RunBand({ task }: { task: Task }) {
  const now = useNow();
  return <Band elapsed={num(task.run_us) || sinceStart(task, now)} {...predictionOf(task)} />;
}
function Waited({ task }: { task: Task }) {
  return <>{duration(waited(task, useNow()))}</>;
}
function Ran({ task }: { task: Task }) {
  const ran = num(task.run_us) || sinceStart(task, useNow());
  return <>{ran > 0 ? duration(ran) : "–"}</>;
}

// The list as it is followed: the newest page again and again, older ones by scrolling, and no row that jumps away from
// under the pointer.
function useList(path: string, words: string) {
  const answer = useAnswer<TaskPage>(path, EVERY_MS);
  const still = useCell(paused);
  const [rows, setRows] = useState<readonly Task[]>([]);
  const [newer, setNewer] = useState(0);
  const cursor = useRef<string | undefined>(undefined);
  const [more, setMore] = useState(false);
  const held = useRef({ pointer: false, focus: false });
  const shownFor = useRef("");
  const asking = useRef(false);
  const take = useCallback((page: TaskPage, hold: boolean) => {
    setRows((old) => {
      const fresh = shownFor.current !== path;
      if (fresh) {
        shownFor.current = path;
        cursor.current = page.next_page_token;
        setMore(Boolean(page.next_page_token));
      }
      const next = merge(fresh ? [] : old, page.tasks ?? [], hold && !fresh);
      setNewer(next.newer);
      if (!fresh && next.shown.length <= PAGE) {
        cursor.current = page.next_page_token;
        setMore(Boolean(page.next_page_token));
      }
      return next.shown.slice(0, KEEP);
    });
  }, [path]);
  useEffect(() => {
    if (answer.data && !still) take(answer.data, held.current.pointer || held.current.focus);
  }, [answer.data, still]);
  const next = useCallback(() => {
    if (!cursor.current || asking.current) return;
    asking.current = true;
    void get<TaskPage>(`${path}&cursor=${encodeURIComponent(cursor.current)}`).then((page) => {
      cursor.current = page.next_page_token;
      setMore(Boolean(page.next_page_token));
      setRows((old) => append(old, page.tasks ?? [], KEEP));
    }, () => undefined).finally(() => (asking.current = false));
  }, [path]);
  const follow = () => {
    if (answer.data) take(answer.data, false);
    answer.again();
  };
  const loading = answer.data === undefined && !answer.problem && shownFor.current !== path;
  return { rows: shownFor.current === path ? rows : [], newer, more, next, follow, loading, problem: answer.problem, hold: (what: "pointer" | "focus", on: boolean) => (held.current[what] = on), words };
}
