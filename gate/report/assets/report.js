"use strict";
(async () => {
  const cells = await unpacked("cells"), list = document.getElementById("list");
  const index = new Map(cells.map((cell, i) => [cell.id, i]));
  const field = document.getElementById("forest");
  let listed = [];

  /* A cell's section: in the page from the start, or made when somebody asks for it. */
  function section(id) {
    const there = document.getElementById(id);
    if (there || !index.has(id)) return there;
    const holder = document.createElement("template");
    holder.innerHTML = cells[index.get(id)].html;
    const made = holder.content.firstElementChild;
    const next = [...list.children].find(other => index.get(other.id) > index.get(id));
    list.insertBefore(made, next ?? null);
    watch(made);
    return made;
  }
  function watch(details) {
    const cell = cells[index.get(details.id)];
    let drawn = false;
    const draw = () => {
      if (drawn || !details.open) return;
      drawn = true;
      for (const figure of details.querySelectorAll("[data-chart]")) {
        const { chart: what } = figure.dataset;
        const drawing = {
          groups: width => groupScores(cell.groups, width), numerics: width => numericsBar(cell.times, width), single: width => singlePrompts(cell.single, width),
        }[what] ?? (width => course(cell, what, width));
        redrawn(figure, width => figure.replaceChildren(drawing(width)));
      }
    };
    details.addEventListener("toggle", draw);
    draw();
  }
  function drawForest() {
    if (!field || field.clientWidth < NARROWEST) return;
    const told = listed.map(id => cells[index.get(id)]).filter(cell => cell.difference !== null);
    field.replaceChildren(told.length ? forest(told, field.clientWidth - 16) : "None of these cells has a difference.");
  }
  interactiveTable(document.getElementById("table"), {
    text: document.getElementById("filter"), choice: document.getElementById("verdict"), shown: document.getElementById("shown"), more: document.getElementById("more"),
    changed: (rows, matching) => {
      listed = rows.map(row => row.dataset.cell);
      const kept = new Set(matching.map(row => row.dataset.cell));
      for (const details of list.children) details.hidden = !kept.has(details.id);
      drawForest();
    },
  });
  if (field) redrawn(field, drawForest);
  [...list.children].forEach(watch);
  sectionsOf(list, section);
  document.documentElement.dataset.ready = "true";
})();
