// What can be done with tasks, and what it would mean: one, those that were chosen, or all of a filter.

import { send } from "../lib/api.ts";
import { useCell } from "../lib/cell.ts";
import { plural } from "../lib/format.ts";
import { type Role, may, me } from "../lib/identity.ts";
import { at } from "../lib/url.ts";
import { go } from "../lib/router.ts";
import type { BodyOf, ChangedTasks, Override, Task } from "../lib/wire.ts";
import { hasEnded, stateOf } from "../lib/words.ts";
import { type Act, ActButton } from "./dialog.tsx";
import { shortId } from "./parts.tsx";

const MINUTE_US = "60000000";

export function TaskActs({ task, onDone }: { task: Task; onDone: () => void }) {
  const identity = useCell(me);
  const name = `task ${shortId(task.id)}`;
  const button = (text: string, role: Role, act: () => Act, danger = false) => <ActButton text={text} act={act} may={may(identity, role)} role={role} danger={danger} />;
  const override = (text: string, kind: string, effect: string, more: Partial<Override> = {}) =>
    button(`${text}…`, "operator", () => ({
      title: `${text} ${name}`, effect: <p>{effect}</p>, verb: text, onDone,
      carryOut: async (by) => {
        const made = await send("post", "/v1/overrides", {}, { kind, task_id: task.id, ...more, ...by });
        return <p>Override {made.number} is set. It is cleared in Config &amp; audit.</p>;
      },
    }));
  if (hasEnded(task))
    return button("Retry…", "submitter", () => ({
      title: `Retry ${name}`, verb: "Retry", reasonNeeded: false, onDone,
      effect: <p>A new task with the same payload is submitted, linked to this one. This one stays {stateOf(task)}.</p>,
      carryOut: async () => {
        const made = await send("post", "/v1/tasks/{id}/retry", { id: task.id }, {});
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
          await send("post", "/v1/tasks/{id}/cancel", { id: task.id }, { reason });
          return undefined;
        },
      }), true)}
    </>
  );
}

interface BulkProps { filter: Record<string, string | undefined>; tasks: readonly Task[]; ids: readonly string[]; filterWords: string; onDone: () => void }

// Of the chosen ones, or of all that the filter finds; `tasks` are those in the list, which tell what makes sense.
export function BulkActs(props: BulkProps) {
  const allowed = may(useCell(me), "submitter");
  const some = props.ids.length > 0;
  const button = (verb: "cancel" | "retry", text: string) =>
    <ActButton text={`${text} ${some ? `${props.ids.length} chosen` : "all that match"}…`} act={() => bulk(verb, text, props)} may={allowed} role="submitter" danger={verb === "cancel"} />;
  const meant = some ? props.tasks.filter((each) => props.ids.includes(each.id)) : props.tasks;
  return <>{!meant.every(hasEnded) && button("cancel", "Cancel")}{meant.some(hasEnded) && button("retry", "Retry")}</>;
}

function bulk(verb: "cancel" | "retry", text: string, { filter, ids, filterWords, onDone }: BulkProps): Act {
  const route = verb === "cancel" ? "/v1/tasks/cancel" : "/v1/tasks/retry";
  const request = (by: { reason: string }, dry: boolean) => ({ ...(ids.length > 0 ? { ids: [...ids] } : { filter: wire(filter) }), reason: by.reason, dry_run: dry });
  let counted = false;
  return {
    title: `${text} ${ids.length > 0 ? plural(ids.length, "task") : "all tasks that match"}`, verb: ids.length > 0 ? text : "Count them first", danger: verb === "cancel", reasonNeeded: verb === "cancel", onDone,
    effect: <p>{ids.length > 0 ? "Each is judged by itself; one that has ended meanwhile stays as it is." : `All that match “${filterWords || "everything"}”, at most 1,000 at a time, the newest first. They are counted before anything is changed.`}</p>,
    carryOut: async (by) => {
      if (ids.length === 0 && !counted) {
        const would = await send("post", route, {}, request(by, true));
        counted = true;
        return <BulkConfirm would={would} text={text} run={() => send("post", route, {}, request(by, false))} onDone={onDone} />;
      }
      return outcome(await send("post", route, {}, request(by, false)));
    },
  };
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

function wire(filter: Record<string, string | undefined>): NonNullable<BodyOf<"/v1/tasks/cancel", "post">["filter"]> {
  const { state, ...rest } = filter;
  return { ...(state ? { states: state.split(",").map((each) => `TASK_STATE_${each.toUpperCase()}` as "TASK_STATE_WAITING") } : {}), ...rest };
}
