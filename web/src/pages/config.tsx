// What is set, who changed it? Settings, versions, overrides, policy.

import { useState } from "preact/hooks";
import type { PageProps } from "../app.tsx";
import { pathOf, send } from "../lib/api.ts";
import { useAnswer } from "../lib/ask.ts";
import { useCell } from "../lib/cell.ts";
import { num, plural } from "../lib/format.ts";
import { may, me } from "../lib/identity.ts";
import { link, set } from "../lib/router.ts";
import { type Setting, changesOf, judge, nameOf, originWord, rangeWords, settingsOf, withValue } from "../lib/settings.ts";
import type { ConfigChange, ConfigVersion, Policy, SettingHelp } from "../lib/wire.ts";
import { type Act, ActButton } from "../ui/dialog.tsx";
import { Diff } from "../ui/diff.tsx";
import { Overrides } from "../ui/overrides.tsx";
import { Name, Panel, Scroll, Terminal, Time, Verdict } from "../ui/parts.tsx";
import { Answered, ErrorBox, Skeleton } from "../ui/states.tsx";

export default function Config({ place }: PageProps) {
  const show = place.query.show ?? "settings";
  return (
    <>
      <Verdict title={show === "overrides" ? "Exceptions to the scheduler's own decisions" : show === "versions" ? "Versions of the configuration" : "What is set"} />
      <ConfigTabs current={show} />
      {show === "overrides" ? <Overrides /> : show === "versions" ? <Versions at={place.query.at ?? ""} /> : <Settings />}
    </>
  );
}

export function ConfigTabs({ current }: { current: string }) {
  const tab = (id: string, text: string, to: string) => <a href={to} aria-current={current === id ? "page" : undefined}>{text}</a>;
  return (
    <div class="row"><nav class="seg" aria-label="Parts of the configuration">
      {tab("settings", "Settings", link("config"))}{tab("versions", "Versions", link("config", "", { show: "versions" }))}{tab("overrides", "Overrides", link("config", "", { show: "overrides" }))}{tab("audit", "Audit", link("audit"))}
    </nav></div>
  );
}

function Settings() {
  const answer = useAnswer(pathOf("/v1/config", {}), 10_000);
  const [edited, setEdited] = useState<{ setting: Setting; value: string; toml: string } | null>(null);
  const schema = useAnswer(pathOf("/v1/config/schema", {}), 60_000).data?.settings ?? [];
  const helpOf = new Map(schema.map((each) => [each.key, each]));
  const admin = may(useCell(me), "admin");
  if (!answer.data) return answer.problem ? <ErrorBox problem={answer.problem} again={answer.again} /> : <Skeleton height="24rem" />;
  const { toml, etag } = answer.data;
  const base = edited?.toml ?? toml;
  const next = edited ? withValue(base, edited.setting, edited.value) : toml;
  const changes = changesOf(base, next);
  const moved = edited !== null && edited.toml !== toml;
  const save = (): Act => ({
    title: "Change the configuration", verb: "Change it", onDone: () => (setEdited(null), answer.again()),
    effect: <div class="stack"><p>It holds at once, for every decision from now on, and is written to the journal. The server keeps the version before it.</p><Diff changes={changes} /></div>,
    carryOut: async (by) => {
      const after = await send("put", "/v1/config", {}, { etag, toml: next, ...by });
      return <p>The configuration is version {after.version || after.etag} now. <a href={link("audit")}>See it in the audit</a>.</p>;
    },
  });
  return (
    <div class="grid">
      <Panel title="Settings that change while the server runs" sub={`version ${answer.data.version || etag}`} class="c12" tools={<Reload />}>
        {!admin && <p class="note">What is set is changed by who has the role admin.</p>}
        {moved && <p class="note warn" role="alert">Somebody changed the configuration meanwhile. <button type="button" class="btn tiny" onClick={() => setEdited(edited && { ...edited, toml })}>Go on from the new one</button></p>}
        <Scroll label="Settings" flush>
          <table>
            <thead><tr><th>Setting</th><th>Value</th>{schema.length > 0 && <><th>Where from</th><th class="opt">Range</th><th class="opt">Default</th><th class="opt">What it does</th></>}<th><span class="sr">Change</span></th></tr></thead>
            <tbody>{settingsOf(toml).map((each) => {
              const open = edited?.setting.key === each.key && edited.setting.section === each.section;
              const help = helpOf.get(nameOf(each));
              const wrong = open ? judge(help, edited.value) : "";
              return (
                <tr key={each.section + each.key}>
                  <td class="mono"><span class="faint">{each.section && `${each.section}.`}</span>{each.key}</td>
                  <td class="mono">{open ? <input class="text" style={{ height: "1.75rem" }} aria-label={`Value of ${each.key}`} value={edited.value} autofocus onInput={(e) => setEdited({ ...edited, value: e.currentTarget.value })} aria-invalid={wrong !== ""} onKeyDown={(e) => e.key === "Escape" && setEdited(null)} /> : <Name>{each.value}</Name>}{open && help?.unit && <span class="faint"> {help.unit}</span>}{wrong !== "" && <span class="bad" role="alert"> {wrong}</span>}</td>
                  {schema.length > 0 && <><td class={help?.origin === "change" ? "" : "faint"}>{help ? originWord(help.origin) : ""}</td><td class="faint opt"><Name>{help ? rangeWords(help) : ""}</Name></td><td class="mono faint opt"><Name>{help?.default ?? ""}</Name></td><td class="wrap soft opt"><Name>{help?.help ?? ""}</Name></td></>}
                  <td class="num">{open ? <span class="row" style={{ justifyContent: "flex-end" }}><ActButton text="Change…" act={save} may={admin && changes.length > 0 && !moved && wrong === ""} role={admin ? "another value, in its range" : "admin"} /><button type="button" class="btn tiny quiet" onClick={() => setEdited(null)}>Leave it</button></span>
                    : <button type="button" class="btn tiny quiet" disabled={!admin} title={admin ? undefined : "needs role admin"} aria-label={`Edit ${each.key}`} onClick={() => setEdited({ setting: each, value: each.value, toml })}>Edit</button>}</td>
                </tr>
              );
            })}</tbody>
          </table>
        </Scroll>
      </Panel>
      {schema.some((each) => !each.live) && <Fixed settings={schema.filter((each) => !each.live)} />}
      <Policies onDone={answer.again} />
      <Terminal lines={["nexus config get", "nexus config keys"]} />
    </div>
  );
}

// What only a restart changes.
function Fixed({ settings }: { settings: readonly SettingHelp[] }) {
  return (
    <Panel title="Settings of the start" sub="a restart changes them" class="c12">
      <details><summary class="small">{plural(settings.length, "setting")}</summary>
        <Scroll label="Settings of the start" flush>
          <table>
            <thead><tr><th>Setting</th><th>Value</th><th>Where from</th><th class="opt">Range</th><th class="opt">What it does</th></tr></thead>
            <tbody>{settings.map((each) => <tr key={each.key}><td class="mono"><Name>{each.key}</Name></td><td class="mono"><Name>{each.value}</Name></td><td class="faint">{originWord(each.origin)}</td><td class="faint opt"><Name>{rangeWords(each)}</Name></td><td class="wrap soft opt"><Name>{each.help}</Name></td></tr>)}</tbody>
          </table>
        </Scroll>
      </details>
    </Panel>
  );
}

function Reload() {
  const admin = may(useCell(me), "admin");
  const act = (): Act => ({
    title: "Read the files again", verb: "Read them", effect: <p>The server reads its configuration files as at the start. What is live changes at once; what needs a restart is named and left as it is.</p>,
    carryOut: async (by) => {
      const after = await send("post", "/v1/config/reload", {}, by);
      return <div class="stack"><Diff changes={after.changes ?? []} />{(after.restart_keys ?? []).length > 0 && <p class="warn">These need a restart: {(after.restart_keys ?? []).join(", ")}.</p>}</div>;
    },
  });
  return <ActButton text="Read the files again…" act={act} may={admin} role="admin" />;
}

function Policies({ onDone }: { onDone: () => void }) {
  const answer = useAnswer(pathOf("/v1/policies", {}));
  const admin = may(useCell(me), "admin");
  if (!answer.data) return null;
  const act = (policy: Policy): Act => ({
    title: `Decide by ${policy.name}`, verb: "Decide by it", onDone: () => (onDone(), answer.again()), effect: <p>{policy.meaning} Every decision from now on follows it; nothing that runs is touched.</p>,
    carryOut: async (by) => (await send("put", "/v1/policy", {}, { policy: policy.name, ...by }), undefined),
  });
  return (
    <Panel title="Which policy decides?" class="c12">
      <Scroll label="Policies"><table><tbody>{(answer.data.policies ?? []).map((each) => (
        <tr key={each.name}><td style={{ paddingLeft: 0 }}>{each.active ? <b>{each.name}</b> : each.name} {each.active && <span class="chip run">in use</span>}</td><td class="wrap soft">{each.meaning}</td><td class="num">{!each.active && <ActButton text="Decide by it…" act={() => act(each)} may={admin} role="admin" />}</td></tr>
      ))}</tbody></table></Scroll>
    </Panel>
  );
}

function Versions({ at }: { at: string }) {
  const answer = useAnswer(pathOf("/v1/config/history", {}, { limit: 100 }));
  const versions = answer.data?.versions ?? [];
  if (answer.problem?.notOffered) return <section class="panel"><div class="empty"><p>This server does not keep versions of the configuration. Each change is in the <a href={link("audit")}>audit</a>.</p></div></section>;
  const chosen = versions.find((each) => String(each.version) === at);
  return (
    <div class="grid">
      <Panel title="Versions" sub="newest first" class={chosen ? "c7 keep" : "c12"}>
        <Answered answer={answer}>
          {() => versions.length === 0 ? <p class="faint small">The configuration is as it was at the start.</p> : (
            <Scroll label="Versions" flush>
              <table>
                <thead><tr><th class="num">Version</th><th>Time</th><th>Author</th><th>Changes</th><th>Reason</th></tr></thead>
                <tbody>{versions.map((each) => (
                  <tr key={each.version} class="link" aria-current={String(each.version) === at ? "true" : undefined} onClick={() => set({ at: String(each.version) })}>
                    <td class="num"><a href={link("config", "", { show: "versions", at: String(each.version) })}>{each.version}</a></td><td><Time us={num(each.at_unix_us)} /></td><td><Name>{each.author || each.caller}</Name></td>
                    <td class="mono"><Name>{(each.changes ?? []).map((change) => change.key).join(", ")}</Name></td><td class="wrap"><Name>{each.reason}</Name></td>
                  </tr>
                ))}</tbody>
              </table>
            </Scroll>
          )}
        </Answered>
      </Panel>
      {chosen && <Version version={chosen} newest={versions[0]} onDone={answer.again} />}
    </div>
  );
}

function Version({ version, newest, onDone }: { version: ConfigVersion; newest: ConfigVersion; onDone: () => void }) {
  const admin = may(useCell(me), "admin");
  const current = useAnswer(pathOf("/v1/config", {}));
  const dry = useAnswer(pathOf("/v1/config/history", {}, { version: version.version }));
  const toml = dry.data?.versions?.[0]?.toml ?? "";
  const undo: ConfigChange[] = toml && current.data ? changesOf(current.data.toml, toml) : [];
  const act = (): Act => ({
    title: `Go back to version ${version.version}`, verb: "Go back", danger: true, onDone,
    effect: <div class="stack"><p>{undo.length > 0 ? `${plural(undo.length, "setting")} ${undo.length === 1 ? "changes" : "change"} at once.` : "The server tells what changed."}</p><Diff changes={undo} /></div>,
    carryOut: async (by) => {
      const after = await send("post", "/v1/config/rollback", {}, { version: version.version, etag: current.data?.etag ?? "", ...by });
      return <Diff changes={after.changes ?? []} />;
    },
  });
  return (
    <Panel title={`Version ${version.version}`} class="c5 keep" tools={version.version !== newest.version && <ActButton text="Go back to it…" act={act} may={admin} role="admin" />}>
      <div class="stack">
        <p class="soft"><Time us={num(version.at_unix_us)} />, <Name>{version.author || version.caller}</Name>: <Name>{version.reason || "no reason given"}</Name></p>
        <Diff changes={version.changes ?? []} />
        {undo.length > 0 && <details><summary>Against the current one</summary><Diff changes={undo} /></details>}
      </div>
    </Panel>
  );
}
