// The frame around every page: bar, side, banners, keys.

import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { type Path, shedUntil, signedOut } from "../lib/api.ts";
import { useAnswer } from "../lib/ask.ts";
import { Cell, useCell } from "../lib/cell.ts";
import { checksOf, isInsecure } from "../lib/checks.ts";
import { duration, num, short } from "../lib/format.ts";
import { me, rolesOf, signOut } from "../lib/identity.ts";
import { link as stream, pause, paused, serverNow, skew, tick, tryNow, updated, world } from "../lib/live.ts";
import { chooseTheme, chooseZone, theme, zone } from "../lib/prefs.ts";
import { link, route, set } from "../lib/router.ts";
import { clock } from "../lib/time.ts";
import { breakerOpen, workerState } from "../lib/words.ts";
import { Find, Keys } from "./find.tsx";
import { Glyph, Icon, Mark } from "./glyph.tsx";
import { useKeys } from "./keys.ts";
import { PAGES, shownAs } from "./pages.ts";
import { visible } from "./parts.tsx";

export const RANGES: [string, string, number][] = [["1m", "1 min", 60], ["5m", "5 min", 300], ["30m", "30 min", 1800], ["6h", "6 h", 21_600]];
// Only a server that keeps the past can show more than this page has seen.
export const longRange = new Cell(false);
const BANNER_MS = 3000;
const READY_MS = 60_000;
const BACK_MS = 5000;

export function Frame({ children }: { children: ComponentChildren }) {
  const { place } = useCell(route);
  const [finding, setFinding] = useState(false);
  const [helping, setHelping] = useState(false);
  useKeys({ find: () => setFinding(true), help: () => setHelping(true) });
  const current = shownAs(place.page);
  const off = useStale();
  useEffect(() => {
    document.documentElement.classList.toggle("stale", off);
  }, [off]);
  return (
    <>
      <a class="skip" href="#main" onClick={(e) => (e.preventDefault(), document.getElementById("main")?.focus())}>Skip to the content</a>
      <div class="app">
        <header class="top">
          <a class="brand" href={link("overview")} aria-label="Nexus, overview"><Mark /><span>Nexus</span></a>
          <Instance />
          <button type="button" class="find" aria-label="Find a task, worker, type, or go to… /" onClick={() => setFinding(true)}>
            <Icon name="search" /><span class="clip">Find a task, worker, type, or go to…</span><kbd>/</kbd>
          </button>
          <span class="grow hide" />
          {place.page === "overview" && <Range />}
          <ZoneSwitch />
          <LiveState />
          <Who />
          <button type="button" class="btn icon quiet hide" aria-label="Light or dark" onClick={() => chooseTheme(theme.value === "dark" ? "light" : "dark")}><Icon name="theme" /></button>
        </header>
        <nav class="side" aria-label="Pages"><Side current={current} /></nav>
        <main id="main" tabIndex={-1}><Banners off={off} />{children}</main>
      </div>
      <nav class="tabs" aria-label="Pages, short">
        {PAGES.slice(0, 4).map((each) => <a href={link(each.page)} aria-current={each.page === current ? "page" : undefined}><Icon name={each.icon} />{each.title}</a>)}
        <button type="button" onClick={() => setFinding(true)}><Icon name="more" />More</button>
      </nav>
      {finding && <Find onClose={() => setFinding(false)} />}
      {helping && <Keys onClose={() => setHelping(false)} />}
    </>
  );
}

function useStale(): boolean {
  const state = useCell(stream);
  useCell(tick);
  return state.state === "off" && Date.now() - state.since > BANNER_MS && !signedOut.value;
}

function Range() {
  const wanted = useCell(route).place.query.range ?? "5m";
  const long = useCell(longRange);
  return (
    <span class="seg hide" role="group" aria-label="Time range">
      {RANGES.filter(([id]) => long || id !== "6h" || id === wanted).map(([id, text]) => <button type="button" aria-pressed={id === wanted} onClick={() => set({ range: id })}>{text}</button>)}
    </span>
  );
}

function Instance() {
  const name = useCell(world).status?.server_name;
  return <span class="instance clip hide" title={`The address of this server is ${location.host}`}>{name ? visible(name) : location.host}</span>;
}

function ZoneSwitch() {
  const where = useCell(zone);
  return (
    <span class="seg hide" role="group" aria-label="Time zone">
      <button type="button" aria-pressed={where === "utc"} onClick={() => chooseZone("utc")}>UTC</button>
      <button type="button" aria-pressed={where === "local"} onClick={() => chooseZone("local")}>Local</button>
    </span>
  );
}

// Who is signed in. A server that asks nobody has nothing to say here.
function Who() {
  const identity = useCell(me);
  if (!identity || identity.open) return null;
  const said = `${identity.name}${identity.tenant ? `, of tenant ${identity.tenant}` : ""}: ${rolesOf(identity).join(", ")}`;
  return (
    <span class="who hide"><span class="clip" title={visible(said)}><bdi>{visible(identity.name)}</bdi></span>
      {identity.how === "token" && <button type="button" class="btn tiny" onClick={() => void signOut()}>Sign out</button>}</span>
  );
}

function LiveState() {
  const state = useCell(stream);
  const still = useCell(paused);
  if (state.state === "denied") return null;
  const [kind, text] = state.state === "off" ? ["off", "No connection"] : still ? ["still", "Paused"] : state.state === "live" ? ["", "Live"] : ["still", "Connecting"];
  return (
    <button type="button" class={`live ${kind}`} title="Space pauses what is drawn; the stream goes on." onClick={() => (state.state === "off" ? tryNow() : pause(!still))}>
      <i /><span role="status">{text}</span>
    </button>
  );
}

function Side({ current }: { current: string }) {
  const { status, workers } = useCell(world);
  const identity = useCell(me);
  const ill = workers.filter((each) => (breakerOpen(each) || workerState(each) === "suspect") && workerState(each) !== "gone").length;
  const waiting = num(status?.waiting);
  return (
    <>
      {PAGES.map((each, i) => (
        <>
          {i > 0 && each.group !== PAGES[i - 1].group && <hr />}
          <a href={link(each.page)} aria-current={each.page === current ? "page" : undefined} title={each.title}>
            <Icon name={each.icon} /><span>{each.title}</span>
            {each.page === "fleet" && ill > 0 && <em class="bad" title={`${ill} workers are silent or behind an open breaker`}>{ill}</em>}
            {each.page === "tasks" && waiting > 0 && <em title="waiting">{short(waiting)}</em>}
          </a>
        </>
      ))}
      <footer>
        {status && <><span>{status.version} · up {duration(num(status.uptime_us))}</span><span>{status.policy} · durable: {status.durability}</span></>}
        {identity && !identity.open && <span>signed in as {visible(identity.name)}{identity.tenant ? ` of ${visible(identity.tenant)}` : ""}, {rolesOf(identity).join(", ")}</span>}
      </footer>
    </>
  );
}

function Banners({ off }: { off: boolean }) {
  const state = useCell(stream);
  const version = useCell(updated);
  const shed = useCell(shedUntil);
  const ignored = useCell(route).ignored;
  const where = useCell(zone);
  const { status } = useCell(world);
  useCell(tick);
  const ready = useAnswer("readyz?verbose" as Path<string>, READY_MS);
  const now = Date.now();
  return (
    <>
      {isInsecure(checksOf(ready.problem?.detail ?? ready.data ?? "")) && (
        <div class="banner" role="alert"><Glyph name="warn" kind="bad" />
          <p><b>This server is not protected.</b> It runs with --insecure: whoever reaches it may run programs on its workers and read what they wrote.</p></div>
      )}
      {off && (
        <div class="banner" role="alert">
          <Glyph name="dead" kind="bad" />
          <p><b>No connection to the server since {clock(state.since * 1000, where)}.</b> {status ? `What you see is ${duration(serverNow() - num(status.now_unix_us))} old. ` : ""}
            Trying again in {duration(Math.max(0, state.nextTry - now) * 1000)}; the scheduler goes on without this page.</p>
          <span class="grow" /><button type="button" class="btn tiny" onClick={tryNow}>Try now</button>
        </div>
      )}
      {!off && state.backAt > 0 && now - state.backAt < BACK_MS && <div class="banner good" role="status">The connection is back.{longRange.value ? "" : " What happened meanwhile is not in the page's own charts."}</div>}
      {version && <div class="banner quiet" role="status"><p>The server was updated to {version}.</p><span class="grow" /><button type="button" class="btn tiny" onClick={() => location.reload()}>Reload</button></div>}
      {now < shed && <div class="banner quiet" role="status">The server is busy with work and answers the page less often.</div>}
      {Math.abs(skew()) > 2e6 && status && <div class="banner quiet">The clock of this browser is {duration(Math.abs(skew()))} {skew() > 0 ? "behind" : "ahead of"} the server's. All times here are the server's.</div>}
      {ignored.length > 0 && <div class="banner quiet">This page does not know {ignored.map((each) => `“${visible(each)}”`).join(", ")} of the address.</div>}
    </>
  );
}
