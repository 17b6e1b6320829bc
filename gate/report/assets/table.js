const written = number => number.toLocaleString("en");
const counted = (number, noun) => `${written(number)} ${noun}${number === 1 ? "" : "s"}`;

/* One table to sort by its headings and to filter. Of many rows the first are in the page until somebody asks for
   all: laying out thousands takes seconds. `changed` is told the rows that are shown and all that match, in order. */
function interactiveTable(table, { text, choice, shown, more, changed }) {
  const FIRST = 200;
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  for (const row of body.rows) row.classList.remove("later");
  const all = [...body.rows].map(row => ({ row, said: row.textContent.toLowerCase(), kind: row.dataset.kind ?? "" }));
  const collator = new Intl.Collator("en", { numeric: true });
  let order = all, whole = false;
  const key = (entry, column) => {
    const cell = entry.row.cells[column], value = cell.dataset.key ?? cell.textContent.trim();
    return value === "" ? null : isNaN(value) ? value : Number(value);
  };
  const compare = (a, b) => typeof a === "number" && typeof b === "number" ? a - b : collator.compare(a, b);
  function show() {
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean), kind = choice?.value ?? "";
    const matching = order.filter(entry => (!kind || entry.kind === kind) && words.every(word => entry.said.includes(word)));
    const [rows, every] = [whole ? matching : matching.slice(0, FIRST), matching].map(some => some.map(entry => entry.row));
    body.replaceChildren(...rows);
    const part = rows.length < every.length ? `, the first ${written(rows.length)} are shown` : "";
    shown.textContent = `${every.length < all.length ? `${written(every.length)} of ` : ""}${counted(all.length, "cell")}${part}`;
    more.hidden = !part;
    more.textContent = `Show all ${written(every.length)} cells`;
    changed(rows, every);
  }
  function sort(column) {
    const up = heads[column].getAttribute("aria-sort") !== "ascending";
    for (const head of heads) head.removeAttribute("aria-sort");
    heads[column].setAttribute("aria-sort", up ? "ascending" : "descending");
    const keys = new Map(all.map(entry => [entry, key(entry, column)]));
    order = [...all].sort((one, other) => {
      const a = keys.get(one), b = keys.get(other);
      if (a === null || b === null) return (a === null) - (b === null);
      return up ? compare(a, b) : compare(b, a);
    });
    show();
  }
  heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => sort(column)));
  text.addEventListener("input", show);
  choice?.addEventListener("change", show);
  more.addEventListener("click", () => { whole = true; show(); });
  show();
}

/* What was packed into the page: JSON, gzip, base64. */
async function unpacked(id) {
  const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), character => character.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
}

/* Opens the section that the address names, now and whenever it changes; `find` may make it. On paper all are open. */
function sectionsOf(list, find = id => document.getElementById(id)) {
  const reveal = () => {
    const details = find(decodeURIComponent(location.hash.slice(1)));
    if (!(details instanceof HTMLDetailsElement)) return;
    details.hidden = false;
    details.open = true;
    details.scrollIntoView();
    details.querySelector("summary").focus({ preventScroll: true });
  };
  addEventListener("hashchange", reveal);
  addEventListener("beforeprint", () => { for (const details of list.children) if (!details.hidden) details.open = true; });
  reveal();
}

/* Nothing is drawn narrower: a window that is only just opening can be a few pixels wide. */
const NARROWEST = 120;

/* Calls `draw` now, and again when the width of what it draws into has changed. */
function redrawn(element, draw) {
  let width = 0;
  const again = () => {
    const now = Math.round(element.clientWidth);
    if (now >= NARROWEST && now !== width) { width = now; draw(now); }
  };
  new ResizeObserver(again).observe(element);
  again();
}
