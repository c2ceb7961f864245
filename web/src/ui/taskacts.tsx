// What can be done with tasks, and what it would mean: one, those that were chosen, or all of a filter.

import { Problem, send } from "../lib/api.ts";
import { useCell } from "../lib/cell.ts";
import { plural } from "../lib/format.ts";
import { type Role, may, me } from "../lib/identity.ts";
import { at } from "../lib/url.ts";
import { go } from "../lib/router.ts";
import type { ChangedTasks, Override, Task } from "../lib/wire.ts";
import { hasEnded, stateOf } from "../lib/words.ts";
import { type Act, ActButton } from "./dialog.tsx";
import { shortId } from "./parts.tsx";

const MINUTE_US = "60000000";

export function TaskActs({ task, onDone }: { task: Task; onDone: () => void }) {
  const identity = useCell(me);
  const path = `v1/tasks/${encodeURIComponent(task.id)}`;
  const name = `task ${shortId(task.id)}`;
  const button = (text: string, role: Role, act: () => Act, danger = false) => <ActButton text={text} act={act} may={may(identity, role)} role={role} danger={danger} />;
  const override = (text: string, kind: string, effect: string, more: Partial<Override> = {}) =>
    button(`${text}…`, "operator", () => ({
      title: `${text} ${name}`, effect: <p>{effect}</p>, verb: text, onDone,
      carryOut: async (by) => {
        const made = await send<Override>("POST", "v1/overrides", { kind, task_id: task.id, ...more, ...by });
        return <p>Override {made.number} is set. It is cleared in Config &amp; audit.</p>;
      },
    }));
  if (hasEnded(task))
    return button("Retry…", "submitter", () => ({
      title: `Retry ${name}`, verb: "Retry", reasonNeeded: false, onDone,
      effect: <p>A new task with the same payload is submitted, linked to this one. This one stays {stateOf(task)}.</p>,
      carryOut: async () => {
        const made = await send<{ id: string }>("POST", `${path}/retry`, {});
        go(at("tasks", made.id));
        return undefined;
      },
    }));
  const runs = ["running", "assigned", "paused"].includes(stateOf(task));
  return (
    <>
      {!runs && override("Boost", "boost", "It is treated as if it had been submitted a minute earlier. What it overtakes waits a little longer.", { boost_us: MINUTE_US })}
      {!runs && override("Hold", "hold", "It does not start until the hold is cleared.")}
      {button("Cancel…", "submitter", () => ({
        title: `Cancel ${name}`, verb: "Cancel the task", danger: true, reasonNeeded: false, onDone,
        effect: <p>{runs ? "Its attempt is stopped, and what it has done so far is lost." : "It never starts."} Tasks that come after it are cancelled, too.</p>,
        carryOut: async ({ reason }) => {
          await send<Task>("POST", `${path}/cancel`, { reason });
          return undefined;
        },
      }), true)}
    </>
  );
}

interface BulkProps { filter: Record<string, string | undefined> | null; ids: readonly string[]; filterWords: string; onDone: () => void }

// Of the chosen ones, or of all that the filter finds.
export function BulkActs(props: BulkProps) {
  const allowed = may(useCell(me), "submitter");
  const some = props.ids.length > 0;
  const button = (verb: "cancel" | "retry", text: string) =>
    <ActButton text={`${text} ${some ? `${props.ids.length} chosen` : "all that match"}…`} act={() => bulk(verb, text, props)} may={allowed} role="submitter" danger={verb === "cancel"} />;
  return <>{button("cancel", "Cancel")}{button("retry", "Retry")}</>;
}

function bulk(verb: "cancel" | "retry", text: string, { filter, ids, filterWords, onDone }: BulkProps): Act {
  const request = (by: { reason: string }, dry: boolean) => ({ ...(ids.length > 0 ? { ids } : { filter: wire(filter ?? {}) }), reason: by.reason, dry_run: dry });
  let counted = false;
  return {
    title: `${text} ${ids.length > 0 ? plural(ids.length, "task") : "all tasks that match"}`, verb: ids.length > 0 ? text : "Count them first", danger: verb === "cancel", reasonNeeded: verb === "cancel", onDone,
    effect: <p>{ids.length > 0 ? "Each is judged by itself; one that has ended meanwhile stays as it is." : `All that match “${filterWords || "everything"}”, at most 1,000 at a time, the newest first. They are counted before anything is changed.`}</p>,
    carryOut: async (by) => {
      if (ids.length === 0 && !counted) {
        const would = await send<ChangedTasks>("POST", `v1/tasks/${verb}`, request(by, true));
        counted = true;
        return <BulkConfirm would={would} text={text} run={() => send<ChangedTasks>("POST", `v1/tasks/${verb}`, request(by, false))} onDone={onDone} />;
      }
      return outcome(await send<ChangedTasks>("POST", `v1/tasks/${verb}`, request(by, false)).catch((error) => one(verb, ids, by.reason, error)));
    },
  };
}

// An older server changes one at a time.
async function one(verb: string, ids: readonly string[], reason: string, error: unknown): Promise<ChangedTasks> {
  if (!(error instanceof Problem) || !(error.notOffered || error.status === 404)) throw error;
  let [changed, refused] = [0, 0];
  for (const id of ids)
    await send("POST", `v1/tasks/${encodeURIComponent(id)}/${verb}`, verb === "cancel" ? { reason } : {}).then(() => ++changed, () => ++refused);
  return { changed, refused, more: false };
}

function outcome(done: ChangedTasks) {
  return <p>{plural(done.changed, "task")} changed{done.refused > 0 ? `, ${done.refused} refused` : ""}.{done.more ? " More match: do it again for the next ones." : ""}</p>;
}

function BulkConfirm({ would, text, run, onDone }: { would: ChangedTasks; text: string; run: () => Promise<ChangedTasks>; onDone: () => void }) {
  return (
    <div class="stack">
      <p>{plural(would.changed, "task")} would be changed{would.more ? ", and more after them" : ""}.</p>
      {would.changed > 0 && <ActButton text={`${text} ${plural(would.changed, "task")}…`} may role="submitter" danger act={() => ({ title: `${text} ${plural(would.changed, "task")}`, effect: <p>Now it is done.</p>, verb: text, danger: true, reasonNeeded: false, onDone, carryOut: async () => outcome(await run()) })} />}
    </div>
  );
}

function wire(filter: Record<string, string | undefined>): Record<string, unknown> {
  const { state, ...rest } = filter;
  return { ...(state ? { states: state.split(",").map((each) => `TASK_STATE_${each.toUpperCase()}`) } : {}), ...rest };
}
