// Find: a task by its id, a worker, a type, a page. And the keys of the page.

import { useMemo, useState } from "preact/hooks";
import { pathOf } from "../lib/api.ts";
import { useAnswer } from "../lib/ask.ts";
import { useCell } from "../lib/cell.ts";
import { me, signOut } from "../lib/identity.ts";
import { world } from "../lib/live.ts";
import { chooseKeys, keysOn } from "../lib/prefs.ts";
import { go, href } from "../lib/router.ts";
import { type Place, at } from "../lib/url.ts";
import { Dialog } from "./dialog.tsx";
import { PAGES } from "./pages.ts";
import { visible } from "./parts.tsx";

interface Found { text: string; kind: string; to?: Place; act?: () => void }

const ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const MOST = 9;

export function Find({ onClose }: { onClose: () => void }) {
  const [text, setText] = useState("");
  const [chosen, setChosen] = useState(0);
  const { workers } = useCell(world);
  const types = useAnswer(pathOf("/v1/types", {})).data?.types ?? [];
  const found = useMemo(() => search(text.trim(), workers.map((each) => each.name), types.map((each) => each.type)), [text, workers, types]);
  const open = (what: Found | undefined) => {
    if (!what) return;
    onClose();
    if (what.to) go(what.to);
    else what.act?.();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "Enter") open(found[chosen]);
    else if (event.key === "ArrowDown") setChosen(Math.min(chosen + 1, found.length - 1));
    else if (event.key === "ArrowUp") setChosen(Math.max(chosen - 1, 0));
    else return;
    event.preventDefault();
  };
  return (
    <Dialog label="Find" onClose={onClose}>
      <input class="find-text" type="text" autofocus value={text} placeholder="Task id, worker, type, or a page" aria-label="Find" role="combobox"
             aria-expanded="true" aria-controls="found" aria-activedescendant={`found-${chosen}`}
             onInput={(e) => (setText(e.currentTarget.value), setChosen(0))} onKeyDown={onKeyDown} />
      <ul class="found" id="found" role="listbox" aria-label="Results">
        {found.map((each, i) => (
          <li id={`found-${i}`} role="option" aria-selected={i === chosen} key={each.kind + each.text}>
            <a href={each.to && href(each.to)} tabIndex={-1} onClick={(e) => (e.preventDefault(), open(each))}><bdi class="clip">{visible(each.text)}</bdi><small>{each.kind}</small></a>
          </li>
        ))}
        {found.length === 0 && <li class="faint" style={{ padding: ".5rem .625rem" }}>Nothing has that name. A task is found by its whole id, or in the list of tasks.</li>}
      </ul>
    </Dialog>
  );
}

function search(text: string, workers: string[], types: string[]): Found[] {
  const wanted = text.toLowerCase();
  if (ID.test(wanted)) return [{ text: wanted, kind: "task", to: at("tasks", wanted) }];
  const fits = (name: string) => name.toLowerCase().includes(wanted);
  const found: Found[] = PAGES.filter((each) => fits(each.title)).map((each) => ({ text: each.title, kind: "page", to: at(each.page) }));
  const signed = me.value !== null && !me.value.open && me.value.how === "token";
  if (signed && fits("sign out")) found.push({ text: "Sign out", kind: `signed in as ${visible(me.value?.name ?? "")}`, act: () => void signOut() });
  if (wanted !== "") {
    found.push(...types.filter(fits).map((name) => ({ text: name, kind: "type", to: at("types", name) })));
    found.push(...workers.filter(fits).map((name) => ({ text: name, kind: "worker", to: at("workers", name) })));
    found.push({ text, kind: "search the tasks", to: at("tasks", "", { q: text }) });
  }
  return found.slice(0, MOST);
}

const KEYS: [string, string][] = [
  ["/ or Ctrl K", "find, or go to"], ["g o, g f, g t, g y", "Overview, Fleet, Tasks, Types"], ["g q, g d, g c, g a, g s", "Queues, Decisions, Config, Audit, Status"],
  ["j k, arrows", "next, previous row or worker"], ["Enter", "open"], ["p", "look at a task beside the list"], ["x", "choose a task"],
  ["f", "filter this list"], ["Space", "pause and go on with live updates"], ["[ ]", "shorter, longer time range"], ["u", "UTC or local time"],
  ["t", "light or dark"], ["?", "this list"], ["Esc", "close"],
];

export function Keys({ onClose }: { onClose: () => void }) {
  const on = useCell(keysOn);
  return (
    <Dialog label="Keyboard" onClose={onClose}>
      <div class="inner">
        <h2>Keyboard</h2>
        <table><tbody>{KEYS.map(([key, what]) => <tr><td style={{ paddingLeft: 0 }}><kbd>{key}</kbd></td><td>{what}</td></tr>)}</tbody></table>
        <label class="row"><input type="checkbox" checked={on} onChange={(e) => chooseKeys(e.currentTarget.checked)} />Single keys do something (turn off when you dictate)</label>
        <div class="row"><span class="grow" /><button type="button" class="btn" autofocus onClick={onClose}>Close</button></div>
      </div>
    </Dialog>
  );
}
