"use strict";
/* Score or cost of one cell over time. */
function scoresOverTime(cell, width, when) {
  const runs = cell.measurements.map(run => ({ ...run, date: new Date(run.when) }));
  const scored = runs.filter(run => run.score !== null), failed = runs.filter(run => run.score === null);
  const levels = cell.levels.filter(level => level.score !== null).map(level => ({ ...level, date: new Date(level.when) }));
  // A level holds until the next one, and the last one until today's end of the axis.
  const held = levels.length ? [...levels, { ...levels.at(-1), date: when[1] }] : [];
  const accepted = cell.levels.filter(level => level.accepted.length).map(level => ({ ...level, date: new Date(level.when) }));
  const half = level => level.half_width ?? 0;
  const ends = [
    ...scored.flatMap(run => [run.score - 1.96 * run.error, run.score + 1.96 * run.error]),
    ...held.flatMap(level => [level.score - half(level), level.score + half(level)]),
  ].map(value => 100 * value);
  const [low, high] = ends.length ? [Math.min(...ends), Math.max(...ends)] : [0, 100], room = Math.max(0.5, 0.12 * (high - low));
  const floor = low - room;
  return chart(
    `Score of ${cell.cell} over ${counted(scored.length, "run")}, changes of level: ${cell.changes.length}, accepted refreshes: ${accepted.length}`,
    {
      width, height: 260, marginLeft: 46, marginRight: 16, marginTop: 22, marginBottom: 28,
      x: { type: "utc", domain: when, label: null }, y: { domain: [floor, high + room], label: null },
    },
    Plot.gridY({ stroke: "var(--line)", strokeOpacity: 1, ticks: 5 }), Plot.axisY({ ticks: 5, tickSize: 0, label: null, tickFormat: value => `${value} %` }), Plot.axisX({ tickSize: 0, ticks: Math.max(2, width / 110) }),
    Plot.areaY(held, { x: "date", y1: level => 100 * (level.score - half(level)), y2: level => 100 * (level.score + half(level)), curve: "step-after", fill: "var(--line)" }),
    Plot.lineY(held, { x: "date", y: level => 100 * level.score, curve: "step-after", stroke: "var(--ink)", strokeWidth: 1.5 }),
    Plot.ruleX(cell.changes, { x: change => new Date(change.when), stroke: "var(--bad)", strokeDasharray: "5 3", strokeWidth: 1.5 }),
    Plot.text(cell.changes, { x: change => new Date(change.when), frameAnchor: "top", dy: -14, fill: "var(--ink)", fontWeight: 600, text: change => `${change.after < change.before ? "−" : "+"}${(100 * Math.abs(change.after - change.before)).toFixed(1)}` }),
    Plot.ruleX(scored, { x: "date", y1: run => 100 * (run.score - 1.96 * run.error), y2: run => 100 * (run.score + 1.96 * run.error), stroke: run => (run.what === "gate" ? "var(--good)" : "var(--quiet)"), strokeOpacity: 0.55 }),
    Plot.dot(scored, { x: "date", y: run => 100 * run.score, r: 4, fill: run => (run.what === "gate" ? "var(--good)" : "var(--page)"), stroke: run => (run.what === "gate" ? "var(--good)" : "var(--quiet)"), strokeWidth: 1.75 }),
    Plot.dot(failed, { x: "date", frameAnchor: "bottom", dy: -8, symbol: "times", stroke: "var(--odd)", r: 5, strokeWidth: 2 }),
    Plot.dot(accepted, { x: "date", frameAnchor: "bottom", dy: -5, symbol: "triangle", fill: "var(--odd)", r: 5 }),
  );
}

function costOverTime(cell, width, when) {
  const runs = cell.measurements.filter(run => run[cell.cost] !== null).map(run => ({ ...run, date: new Date(run.when) }));
  const unit = { gpu_minutes: "GPU minutes", minutes: "minutes", tokens: "tokens" }[cell.cost];
  return chart(
    `Cost of ${cell.cell} in ${unit}, ${counted(runs.length, "run")}`,
    {
      width, height: 130, marginLeft: 46, marginRight: 16, marginTop: 20, marginBottom: 28,
      x: { type: "utc", domain: when, label: null }, y: { label: `↑ ${unit}`, domain: [0, 1.05 * Math.max(1e-9, ...runs.map(run => run[cell.cost]))] },
    },
    Plot.gridY({ stroke: "var(--line)", strokeOpacity: 1, ticks: 3 }), Plot.axisY({ ticks: 3, tickSize: 0, tickFormat: "~s", label: unit, labelArrow: "none" }), Plot.axisX({ tickSize: 0, ticks: Math.max(2, width / 110) }),
    Plot.ruleX(runs, { x: "date", y1: 0, y2: cell.cost, stroke: "var(--strong)", strokeWidth: 3 }),
    Plot.dot(runs, { x: "date", y: cell.cost, fill: "var(--ink)", r: 3 }),
    Plot.ruleY([0], { stroke: "var(--strong)" }),
  );
}

(async () => {
  const cells = new Map((await unpacked("cells")).map(cell => [cell.id, cell])), list = document.getElementById("list");
  const dates = [...cells.values()].flatMap(cell => [...cell.measurements, ...cell.levels].map(one => new Date(one.when)));
  const ends = [Math.min(...dates), Math.max(...dates)], room = Math.max(43_200_000, 0.03 * (ends[1] - ends[0]));
  const when = [new Date(ends[0] - room), new Date(ends[1] + room)];
  const draw = details => {
    for (const figure of details.open ? details.querySelectorAll("[data-chart]:empty") : []) {
      const drawing = figure.dataset.chart === "score" ? scoresOverTime : costOverTime;
      redrawn(figure, width => figure.replaceChildren(drawing(cells.get(details.id), width, when)));
    }
  };
  for (const details of list.children) {
    details.addEventListener("toggle", () => draw(details));
    draw(details);
  }
  interactiveTable(document.getElementById("table"), {
    text: document.getElementById("filter"), shown: document.getElementById("shown"), more: document.getElementById("more"),
    changed: (rows, matching) => {
      const kept = new Set(matching.map(row => row.dataset.cell));
      for (const details of list.children) details.hidden = !kept.has(details.id);
    },
  });
  sectionsOf(list);
  document.documentElement.dataset.ready = "true";
})();
