// Dialogs: they keep the focus and give it back. An act shows its effect, asks for a reason, and then for one click.

import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Problem } from "../lib/api.ts";
import { useCell } from "../lib/cell.ts";
import { me } from "../lib/identity.ts";
import { keep, kept } from "../lib/prefs.ts";
import { ErrorBox } from "./states.tsx";

export function Dialog({ label, onClose, children }: { label: string; onClose: () => void; children: ComponentChildren }) {
  const box = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const dialog = box.current;
    const before = document.activeElement as HTMLElement | null;
    dialog?.showModal();
    return () => {
      dialog?.close();
      before?.focus?.();
    };
  }, []);
  return (
    <dialog ref={box} aria-label={label} onCancel={(event) => (event.preventDefault(), onClose())}
            onClick={(event) => event.target === box.current && onClose()}>
      {children}
    </dialog>
  );
}

export interface Act {
  title: string;
  effect: ComponentChildren;
  verb: string;
  danger?: boolean;
  reasonNeeded?: boolean;  // true when left out
  fields?: ComponentChildren;
  ready?: boolean;         // false: the fields are not filled in yet
  carryOut: (by: { reason: string; author: string }) => Promise<ComponentChildren>;
  onDone?: () => void;
}

export function ActDialog({ act, onClose }: { act: Act; onClose: () => void }) {
  const identity = useCell(me);
  const named = identity !== null && !identity.open && identity.name !== "";
  const [author, setAuthor] = useState(kept("nexus.author") ?? "");
  const [reason, setReason] = useState("");
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem>();
  const [told, setTold] = useState<ComponentChildren>();
  const needed = act.reasonNeeded !== false;
  const ready = act.ready !== false && (!needed || reason.trim() !== "") && !busy;
  // Not before the answer was read: what it changes may take the button away, and this dialog with it.
  const finish = () => {
    act.onDone?.();
    onClose();
  };
  const submit = async (event: Event) => {
    event.preventDefault();
    if (!ready) return;
    setBusy(true);
    setProblem(undefined);
    if (!named) keep("nexus.author", author);
    try {
      const answer = await act.carryOut({ reason: reason.trim(), author: named ? identity.name : author.trim() });
      if (answer) setTold(answer);
      else finish();
    } catch (error) {
      setProblem(error instanceof Problem ? error : new Problem(0, "Error", String(error), "PAGE"));
    }
    setBusy(false);
  };
  if (told !== undefined)
    return (
      <Dialog label={act.title} onClose={finish}>
        <div class="inner"><h2>{act.title}</h2><div role="status">{told}</div>
          <div class="row"><span class="grow" /><button type="button" class="btn first" autofocus onClick={finish}>Close</button></div></div>
      </Dialog>
    );
  return (
    <Dialog label={act.title} onClose={onClose}>
      <form onSubmit={submit}>
        <h2>{act.title}</h2>
        <div class="soft">{act.effect}</div>
        {act.fields}
        <label class="field">Reason{needed ? "" : " (may be empty)"}
          <input class="text" name="reason" value={reason} maxLength={1000} required={needed} autofocus onInput={(e) => setReason(e.currentTarget.value)} />
        </label>
        {named ? <p class="small faint">Signed in as {identity.name}; the audit says so.</p> : (
          <label class="field">Your name, for the audit
            <input class="text" name="author" value={author} maxLength={200} autocomplete="username" onInput={(e) => setAuthor(e.currentTarget.value)} />
          </label>
        )}
        {problem && <ErrorBox problem={problem} />}
        <div class="row"><span class="grow" />
          <button type="button" class="btn" onClick={onClose}>Leave it</button>
          <button type="submit" class={`btn first ${act.danger ? "danger" : ""}`} disabled={!ready}>{act.verb}</button>
        </div>
      </form>
    </Dialog>
  );
}

const ROLES = ["submitter", "operator", "admin"];
// A button that opens the dialog of an act; disabled, with the reason, for who may not.
export function ActButton({ text, act, may: ready, role, danger }: { text: string; act: () => Act; may: boolean; role: string; danger?: boolean }) {
  const [open, setOpen] = useState<Act>();
  const forbidden = !ready && ROLES.includes(role);
  return (
    <>
      <button type="button" class={`btn tiny ${danger ? "danger" : ""}`} disabled={!ready} title={ready ? undefined : `needs ${forbidden ? "role " : ""}${role}`} onClick={() => setOpen(act())}>{text}{forbidden && <small> needs role {role}</small>}</button>
      {open && <ActDialog act={open} onClose={() => setOpen(undefined)} />}
    </>
  );
}
