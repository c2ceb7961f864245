// Pins, holds, boosts and exclusions by operators.

import { pathOf, send } from "../lib/api.ts";
import { useAnswer } from "../lib/ask.ts";
import { useCell } from "../lib/cell.ts";
import { duration, num } from "../lib/format.ts";
import { may, me } from "../lib/identity.ts";
import type { Override } from "../lib/wire.ts";
import { type Act, ActButton } from "./dialog.tsx";
import { Name, Panel, Scroll, TaskLink, Terminal, Time, TypeLink, WorkerLink } from "./parts.tsx";
import { Answered } from "./states.tsx";

export function Overrides() {
  const answer = useAnswer(pathOf("/v1/overrides", {}), 5000);
  const allowed = may(useCell(me), "operator");
  const clear = (each: Override): Act => ({
    title: `Clear override ${each.number}`, verb: "Clear it", reasonNeeded: false, onDone: answer.again, effect: <p>The scheduler decides by itself again: {meaning(each)} ends now.</p>,
    carryOut: async ({ author }) => (await send("delete", "/v1/overrides/{number}", { number: each.number }, undefined, { author }), undefined),
  });
  return (
    <div class="grid">
      <Panel title="Overrides" sub="set on a task's or a worker's page, or by the command line" class="c12">
        <Answered answer={answer}>
          {(told) => (told.overrides ?? []).length === 0 ? <p class="faint small">None: the scheduler decides everything by itself.</p> : (
            <Scroll label="Overrides" flush>
              <table>
                <thead><tr><th class="num">Number</th><th>Kind</th><th>Task or type</th><th>Worker</th><th>Author</th><th>Reason</th><th>Expires</th><th><span class="sr">Act</span></th></tr></thead>
                <tbody>{(told.overrides ?? []).map((each) => (
                  <tr key={each.number}>
                    <td class="num">{each.number}</td><td>{each.kind}{num(each.boost_us) > 0 && ` by ${duration(num(each.boost_us))}`}</td>
                    <td>{each.task_id ? <TaskLink id={each.task_id} /> : each.type ? <TypeLink name={each.type} /> : "–"}</td><td><WorkerLink name={each.worker} /></td>
                    <td><Name>{each.author}</Name></td><td class="wrap"><Name>{each.reason}</Name></td><td>{num(each.expires_unix_us) > 0 ? <Time us={num(each.expires_unix_us)} /> : "never"}</td>
                    <td class="num"><ActButton text="Clear…" act={() => clear(each)} may={allowed} role="operator" /></td>
                  </tr>
                ))}</tbody>
              </table>
            </Scroll>
          )}
        </Answered>
      </Panel>
      <Terminal lines={["nexus override list"]} />
    </div>
  );
}

function meaning(each: Override): string {
  return each.kind === "pin" ? "the pin" : each.kind === "hold" ? "the hold" : each.kind === "boost" ? "the boost" : "the exclusion";
}
