// A table that has only the visible rows in the document. Rows are of one height; focus roves over them.

import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

export interface Column<T> {
  name: string;
  class?: string;
  sort?: string;  // what the URL says to sort by this
  cell: (row: T) => ComponentChildren;
}
interface Props<T> {
  label: string;
  rows: readonly T[];
  columns: Column<T>[];
  keyOf: (row: T) => string;
  total?: number;          // rows that there are at all; -1: not known
  sort?: string;
  onSort?: (by: string) => void;
  current?: string;        // key of the row that is shown elsewhere
  selected?: ReadonlySet<string>;
  onOpen?: (row: T) => void;
  onKey?: (key: string, row: T) => boolean;
  onEnd?: () => void;      // the last rows come into view
}

const ROW = 40;
const BEYOND = 8;

export function VirtualTable<T>({ label, rows, columns, keyOf, total, sort, onSort, current, selected, onOpen, onKey, onEnd }: Props<T>) {
  const box = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const [height, setHeight] = useState(600);
  const [cursor, setCursor] = useState(0);
  useEffect(() => {
    const watch = new ResizeObserver(() => setHeight(box.current?.clientHeight ?? 600));
    if (box.current) watch.observe(box.current);
    return () => watch.disconnect();
  }, []);
  const first = Math.max(0, Math.floor(top / ROW) - BEYOND);
  const last = Math.min(rows.length, Math.ceil((top + height) / ROW) + BEYOND);
  useEffect(() => {
    if (onEnd && rows.length > 0 && last >= rows.length) onEnd();
  }, [last, rows.length]);
  const at = Math.min(cursor, rows.length - 1);
  const onKeyDown = (event: KeyboardEvent) => {
    const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1, PageDown: 10, PageUp: -10 }[event.key];
    if (step !== undefined && rows.length > 0) {
      const next = Math.min(rows.length - 1, Math.max(0, at + step));
      setCursor(next);
      const y = next * ROW;
      const view = box.current;
      if (view && y < view.scrollTop) view.scrollTop = y;
      else if (view && y + 2 * ROW > view.scrollTop + view.clientHeight) view.scrollTop = y + 2 * ROW - view.clientHeight;
    } else if (event.key === "Enter" && event.target === box.current && rows[at]) onOpen?.(rows[at]);
    else if (!(event.target === box.current && rows[at] && onKey?.(event.key, rows[at]))) return;
    event.preventDefault();
  };
  return (
    <div ref={box} class="virtual flush" tabIndex={0} role="region" aria-label={label} onScroll={(e) => setTop(e.currentTarget.scrollTop)} onKeyDown={onKeyDown}>
      <table class="rows" aria-rowcount={total ?? rows.length}>
        <thead><tr>{columns.map((column) => {
          const down = sort === `-${column.sort}`;
          const sorted = column.sort !== undefined && (sort === column.sort || down);
          return (
            <th class={column.class} aria-sort={sorted ? (down ? "descending" : "ascending") : undefined}>
              {column.sort && onSort ? <button type="button" onClick={() => onSort(sorted && down ? column.sort! : `-${column.sort}`)}>{column.name}{sorted ? (down ? " ↓" : " ↑") : ""}</button> : column.name || <span class="sr">Mark</span>}
            </th>
          );
        })}</tr></thead>
        <tbody>
          {first > 0 && <tr style={{ height: `${first * ROW}px` }} aria-hidden="true" />}
          {rows.slice(first, last).map((row, i) => {
            const key = keyOf(row);
            return (
              <tr key={key} class={`${onOpen ? "link" : ""} ${first + i === at ? "cursor" : ""}`} aria-rowindex={first + i + 1} aria-current={key === current ? "true" : undefined} aria-selected={selected ? selected.has(key) : undefined}
                  onClick={(e) => { setCursor(first + i); if (onOpen && !(e.target as Element).closest("a, button, input")) onOpen(row); }}>
                {columns.map((column) => <td class={column.class}>{column.cell(row)}</td>)}
              </tr>
            );
          })}
          {last < rows.length && <tr style={{ height: `${(rows.length - last) * ROW}px` }} aria-hidden="true" />}
        </tbody>
      </table>
    </div>
  );
}
