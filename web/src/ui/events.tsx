// What happened to a worker or a type lately.

import { num } from "../lib/format.ts";
import type { Event } from "../lib/wire.ts";
import { Name, Panel, TaskLink, Time } from "./parts.tsx";

const ROWS = 12;

export function Events({ events, class: cls }: { events: readonly Event[]; class: string }) {
  if (events.length === 0) return null;
  return (
    <Panel title="What happened" sub={events.length > ROWS ? `the newest ${ROWS}` : "newest first"} class={cls}>
      <ul class="events">{events.slice(0, ROWS).map((each) => <li key={each.at_unix_us + each.sentence}><Time us={num(each.at_unix_us)} /><span><Name>{each.sentence}</Name>{each.task_id !== "" && <> <TaskLink id={each.task_id} /></>}</span></li>)}</ul>
    </Panel>
  );
}
