// Who waits, what holds them? Queues of the server; a tenant shows its tasks.

import type { PageProps } from "../app.tsx";
import { pathOf, send } from "../lib/api.ts";
import { useAnswer } from "../lib/ask.ts";
import { useCell } from "../lib/cell.ts";
import { count, duration, num, plural, predicted, share } from "../lib/format.ts";
import { may, me } from "../lib/identity.ts";
import { serverNow } from "../lib/live.ts";
import { link, set } from "../lib/router.ts";
import type { Limit, Queue, TaskPage, Tenant as TenantShare } from "../lib/wire.ts";
import { stateOf, waitsFor } from "../lib/words.ts";
import { type Act, ActButton } from "../ui/dialog.tsx";
import { Ago, Bar, Kv, Name, Panel, Pill, Scroll, TaskLink, Terminal, TypeLink, Until, Verdict, visible } from "../ui/parts.tsx";
import { Answered, Empty, ErrorBox, Skeleton } from "../ui/states.tsx";
import { Glyph } from "../ui/glyph.tsx";
import { GotBar, LimitTable, TenantTable, leads } from "../ui/tenants.tsx";

const EVERY_MS = 2000;

const SORTS: Record<string, (queue: Queue) => number | string> = {
  name: (q) => q.name, waiting: (q) => num(q.waiting), running: (q) => num(q.running), oldest: (q) => -num(q.oldest_waiting_unix_us), work: (q) => num(q.work_us),
};

export default function Queues({ place }: PageProps) {
  const list = useAnswer(pathOf("/v1/queues", {}), EVERY_MS);
  const tenants = useAnswer(place.name === "" || place.page === "tenants" ? pathOf("/v1/tenants", {}) : null, EVERY_MS).data?.tenants;
  const limits = useAnswer(place.name === "" || place.page === "tenants" ? pathOf("/v1/limits", {}) : null, EVERY_MS).data?.limits;
  if (place.page === "tenants" && place.name !== "") return <Tenant name={place.name} tenants={tenants ?? []} limits={limits ?? []} />;
  if (place.name !== "") return <One name={place.name} queues={list.data?.queues} again={list.again} />;
  if (!list.data) return list.problem ? (
    <><Verdict title="Queues & tenants" />{list.problem.notOffered ? <section class="panel"><Empty text="This server does not offer the list of queues. A queue is paused and resumed by its name:" command="nexus queue pause NAME --reason …" /></section> : <ErrorBox problem={list.problem} again={list.again} />}</>
  ) : <Skeleton height="16rem" />;
  const queues = list.data.queues ?? [];
  const sort = place.query.sort ?? "-waiting";
  const of = SORTS[sort.replace("-", "")] ?? SORTS.waiting;
  const sign = sort.startsWith("-") ? -1 : 1;
  const sorted = [...queues].sort((a, b) => {
    const [x, y] = [of(a), of(b)];
    return sign * (typeof x === "number" && typeof y === "number" ? x - y : String(x) < String(y) ? -1 : 1);
  });
  const waiting = queues.reduce((sum, each) => sum + num(each.waiting), 0);
  const stopped = queues.filter((each) => each.paused);
  const most = Math.max(1, ...queues.map((each) => num(each.waiting)));
  const head = (by: string, text: string, cls = "num") => {
    const down = sort === `-${by}`;
    return <th class={cls} aria-sort={down ? "descending" : sort === by ? "ascending" : undefined}><button type="button" onClick={() => set({ sort: down ? by : `-${by}` })}>{text}{down ? " ↓" : sort === by ? " ↑" : ""}</button></th>;
  };
  return (
    <>
      <Verdict title={stopped.length > 0 ? `${plural(stopped.length, "queue")} ${stopped.length === 1 ? "is" : "are"} paused.` : waiting === 0 ? "Nothing waits in any queue." : `${plural(waiting, "task")} ${waiting === 1 ? "waits" : "wait"} in ${plural(queues.filter((each) => num(each.waiting) > 0).length, "queue")}.`} />
      <Panel title="Queues" sub={count(queues.length)}>
        {queues.length === 0 ? <p class="faint small">Nothing waits or runs in any queue.</p> : (
          <Scroll label="Queues" flush>
            <table>
              <thead><tr>{head("name", "Queue", "")}<th>State</th>{head("waiting", "Waiting")}<th><span class="sr">Share of all that wait</span></th>{head("running", "Running")}{head("oldest", "Oldest waits")}{head("work", "Work")}<th><span class="sr">Act</span></th></tr></thead>
              <tbody>{sorted.map((each) => (
                <tr key={each.name}>
                  <td><a href={link("queues", each.name)}><Name>{each.name}</Name></a></td>
                  <td>{each.paused ? <span class="chip warn"><Glyph name="paused" />paused</span> : <span class="chip">open</span>}</td>
                  <td class="num">{count(num(each.waiting))}{num(each.waiting_max) > 0 && <span class="faint"> of {count(num(each.waiting_max))}</span>}</td>
                  <td style={{ width: "20%" }}><Bar share={num(each.waiting) / most} kind="wait" /></td>
                  <td class="num">{count(num(each.running))}{num(each.running_max) > 0 && <span class="faint"> of {count(num(each.running_max))}</span>}</td>
                  <td class="num">{num(each.oldest_waiting_unix_us) > 0 ? duration(serverNow() - num(each.oldest_waiting_unix_us)) : "–"}</td>
                  <td class="num pred">{num(each.work_us) > 0 ? predicted(num(each.work_us)) : "–"}</td>
                  <td class="num"><QueueAct queue={each} onDone={list.again} /></td>
                </tr>
              ))}</tbody>
            </table>
          </Scroll>
        )}
      </Panel>
      {tenants && tenants.length > 0 && <TenantTable tenants={tenants} />}
      {limits && <LimitTable limits={limits} />}
      <Terminal lines={["nexus queue list"]} />
    </>
  );
}

function QueueAct({ queue, onDone }: { queue: Queue; onDone: () => void }) {
  const allowed = may(useCell(me), "operator");
  const act = (): Act => ({
    title: `${queue.paused ? "Resume" : "Pause"} queue ${visible(queue.name)}`, verb: queue.paused ? "Resume" : "Pause", onDone,
    effect: <p>{queue.paused ? `${plural(num(queue.waiting), "waiting task")} may start again.` : `Nothing of this queue starts until it is resumed: ${plural(num(queue.waiting), "task")} ${num(queue.waiting) === 1 ? "waits" : "wait"} there now. ${plural(num(queue.running), "running task")} ${num(queue.running) === 1 ? "ends" : "end"} normally.`}</p>,
    carryOut: async (by) => (await send("put", "/v1/queues/{queue}", { queue: queue.name }, { paused: !queue.paused, ...by }), undefined),
  });
  return <ActButton text={queue.paused ? "Resume…" : "Pause…"} act={act} may={allowed} role="operator" />;
}

function One({ name, queues, again }: { name: string; queues: Queue[] | undefined; again: () => void }) {
  const queue = queues?.find((each) => each.name === name);
  return (
    <>
      <Verdict title={<>Queue <Name>{name}</Name>{queue ? (queue.paused ? " is paused." : num(queue.waiting) > 0 ? `: ${plural(num(queue.waiting), "task")} wait.` : ": nothing waits.") : ""}</>} acts={queue && <QueueAct queue={queue} onDone={again} />} />
      <div class="grid">
        {queue && (
          <Panel title="Now" class="c4">
            <Kv rows={[
              ["Waiting", <>{count(num(queue.waiting))}{num(queue.waiting_max) > 0 && ` of ${count(num(queue.waiting_max))}`}</>],
              ["Running", <>{count(num(queue.running))}{num(queue.running_max) > 0 && ` of ${count(num(queue.running_max))}, ${share(num(queue.running) / num(queue.running_max))}`}</>],
              ["Oldest", num(queue.oldest_waiting_unix_us) > 0 ? <Ago us={num(queue.oldest_waiting_unix_us)} /> : "nothing waits"],
              ["Work", <span class="pred">{predicted(num(queue.work_us))}</span>],
            ]} />
          </Panel>
        )}
        <Waiting query={{ queue: name }} wide={!queue} />
      </div>
    </>
  );
}

function Tenant({ name, tenants, limits }: { name: string; tenants: readonly TenantShare[]; limits: readonly Limit[] }) {
  const tenant = tenants.find((each) => each.name === name);
  const its = limits.filter((each) => each.tenant === name || (each.kind === "tenant" && each.key === name));
  return (
    <>
      <Verdict title={<>Tenant <Name>{name}</Name>{tenant && <> got {share(tenant.got_15m)} of the slots: {leads(tenant)}.</>}</>} />
      <div class="grid">
        {tenant && (
          <Panel title="Now" class="c4">
            <div class="stack">
              <Kv rows={[
                ["Waiting", count(num(tenant.waiting))],
                ["Running", <>{count(num(tenant.running))}{num(tenant.running_max) > 0 && ` of ${count(num(tenant.running_max))}`}</>],
                ["Weight", tenant.weight],
                ["Its own", tenant.entitled > 0 ? share(tenant.entitled) : "nothing: it wants nothing now"],
                ["Got, 15 min", share(tenant.got_15m)], ["Got, 24 h", share(tenant.got_24h)],
              ]} />
              <GotBar tenant={tenant} most={Math.max(0.01, tenant.got_15m, tenant.entitled)} />
            </div>
          </Panel>
        )}
        <Waiting query={{ tenant: name }} wide={!tenant} />
        {its.length > 0 && <LimitTable limits={its} />}
      </div>
    </>
  );
}

function Waiting({ query, wide }: { query: Record<string, string>; wide: boolean }) {
  const path = pathOf("/v1/tasks", {}, { ...query, state: "waiting,running,assigned,paused", limit: 50 });
  const list = useAnswer<TaskPage>(path, EVERY_MS);
  return (
    <Panel title="What waits and runs" sub="the newest 50" class={wide ? "c12" : "c8 keep"} tools={<a class="small" href={link("tasks", "", query)}>All its tasks</a>}>
      <Answered answer={list}>
        {(page) => (page.tasks ?? []).length === 0 ? <p class="faint small">Nothing waits or runs here.</p> : (
          <Scroll label="Tasks" flush>
            <table>
              <thead><tr><th>State</th><th>Task</th><th>Type</th><th>Why it waits</th><th class="num">ETA</th></tr></thead>
              <tbody>{(page.tasks ?? []).map((task) => <tr key={task.id}><td><Pill state={stateOf(task)} /></td><td><TaskLink id={task.id} /></td><td><TypeLink name={task.type} /></td><td><Name>{waitsFor(task)}</Name></td><td class="num"><Until us={num(task.eta?.finish_p50_unix_us)} /></td></tr>)}</tbody>
            </table>
          </Scroll>
        )}
      </Answered>
    </Panel>
  );
}
