// Who changed what, and why?

import { useEffect, useState } from "preact/hooks";
import type { PageProps } from "../app.tsx";
import { get, pathOf } from "../lib/api.ts";
import { useAnswer } from "../lib/ask.ts";
import { count, num } from "../lib/format.ts";
import { set } from "../lib/router.ts";
import type { AuditEntry, AuditPage, AuditVerdict } from "../lib/wire.ts";
import { Name, Panel, Scroll, Terminal, Time, Verdict, visible } from "../ui/parts.tsx";
import { Answered, NoMatch } from "../ui/states.tsx";
import { ConfigTabs } from "./config.tsx";

const PAGE = 100;

export default function Audit({ place }: PageProps) {
  const { q = "", from, to } = place.query;
  const micros = (text: string | undefined) => (text && !Number.isNaN(Date.parse(text)) ? String(Date.parse(text) * 1000) : undefined);
  const path = pathOf("/v1/audit", {}, { search: q, from_unix_us: micros(from), to_unix_us: micros(to), limit: PAGE });
  const answer = useAnswer<AuditPage>(path, 10_000);
  const verified = useAnswer(pathOf("/v1/audit/verify", {}));
  const [more, setMore] = useState<{ path: string; rows: AuditEntry[]; cursor?: string }>({ path: "", rows: [] });
  useEffect(() => {
    if (more.path !== path || more.rows.length === 0) setMore({ path, rows: [], cursor: answer.data?.next_page_token });
  }, [path, answer.data]);
  const rows = [...(answer.data?.entries ?? []), ...(more.path === path ? more.rows : [])];
  const next = async () => {
    const page = await get<AuditPage>(`${path}&cursor=${encodeURIComponent(more.cursor ?? "")}`);
    setMore({ path, rows: [...more.rows, ...(page.entries ?? [])], cursor: page.next_page_token });
  };
  return (
    <>
      <Verdict title="Who changed what, and why">{verified.data && <Chain told={verified.data} />}</Verdict>
      <ConfigTabs current="audit" />
      <Panel title="Audit" sub="newest first" tools={<input class="text" data-filter style={{ height: "1.75rem" }} value={q} placeholder="author, action, reason or change" aria-label="Filter the audit" onChange={(e) => set({ q: e.currentTarget.value.trim() })} />}>
        <Answered answer={answer} height="16rem">
          {() => rows.length === 0 ? (q ? <NoMatch filter={q} onDrop={() => set({ q: undefined })} /> : <p class="faint small">Nobody has changed anything yet.</p>) : (
            <Scroll label="Audit" flush>
              <table>
                <thead><tr><th>Time</th><th>Author</th><th>Act</th><th>Reason</th><th>Before, after</th><th class="opt">Hash</th></tr></thead>
                <tbody>{rows.map((each) => (
                  <tr key={each.hash || each.number}>
                    <td><Time us={num(each.at_unix_us)} /></td><td><Name>{each.author || "–"}</Name>{each.caller && each.caller !== each.author && <span class="faint"> as <Name>{each.caller}</Name></span>}</td>
                    <td class="mono"><Name>{each.action}</Name></td><td class="wrap"><Name>{each.reason}</Name></td><td class="wrap"><Change entry={each} /></td><td class="mono opt faint" title={each.hash}>{each.hash.slice(0, 10)}</td>
                  </tr>
                ))}</tbody>
              </table>
              {more.cursor && <div style={{ padding: ".5rem 1rem" }}><button type="button" class="btn tiny" onClick={() => void next()}>Older ones</button></div>}
            </Scroll>
          )}
        </Answered>
      </Panel>
      <Terminal lines={["nexus audit"]} />
    </>
  );
}

// Only the lines that differ, where before and after have many.
function Change({ entry }: { entry: AuditEntry }) {
  const [before, after] = [entry.before.split("\n"), entry.after.split("\n")];
  const gone = before.filter((line) => line !== "" && !after.includes(line));
  const came = after.filter((line) => line !== "" && !before.includes(line));
  if (gone.length + came.length === 0) return <Name>{entry.after}</Name>;
  return <div class="diff">{gone.slice(0, 6).map((line) => <del>{visible(line)}</del>)}{came.slice(0, 6).map((line) => <ins>{visible(line)}</ins>)}{gone.length + came.length > 12 && <span class="faint">and more</span>}</div>;
}

function Chain({ told }: { told: AuditVerdict }) {
  if (told.good) return <p>The chain of {count(num(told.entries))} entries is whole; its head is <span class="mono">{told.head.slice(0, 16)}</span>.</p>;
  return <p class="bad"><b>The chain is broken.</b> <Name>{told.problem}</Name></p>;
}
