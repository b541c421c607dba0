// Bundles the script of the page, with the licences of all that comes into it: cli/render/html/map.bundle.js,
// or the file that is named.

import { build } from "esbuild";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const target = process.argv[2] ?? join(here, "../../cli/render/html/map.bundle.js");

const { outputFiles, metafile } = await build({
  absWorkingDir: here,
  entryPoints: ["src/main.js"],
  bundle: true,
  minify: true,
  write: false,
  metafile: true,
  format: "iife",
  target: "es2022",
  charset: "ascii",
  legalComments: "none", // the whole licences stand at the beginning
  // Tests and benches ask the page what it shows by `nmmMap`.
  globalName: "nmmMap",
});

// The folder of a package that a file is of: what follows the last node_modules/.
const packageOf = (file) => file.match(/^.*node_modules\/(?:@[^/]+\/)?[^/]+/)?.[0];

const folders = new Set();
for (const output of Object.values(metafile.outputs)) {
  for (const [file, { bytesInOutput }] of Object.entries(output.inputs)) {
    const folder = packageOf(file);
    if (folder && bytesInOutput) folders.add(folder);
  }
}

const licences = new Map();
for (const folder of [...folders].sort()) {
  const { name, version, license } = JSON.parse(readFileSync(join(here, folder, "package.json")));
  const file = readdirSync(join(here, folder)).find((name) => /^licen[sc]e/i.test(name));
  const own = join(here, "licences", `${name.replace("/", "+")}.txt`);
  const place = file ? join(here, folder, file) : own;
  if (!existsSync(place)) throw new Error(`${name} brings no licence; put it at ${own}`);
  const text = readFileSync(place, "utf8").replaceAll("\r", "").trim().replaceAll("*/", "* /");
  licences.set(text, [...(licences.get(text) ?? []), `${name} ${version} (${license})`]);
}
const heads = [...licences].map(([text, names]) => `${names.join("\n")}\n\n${text}\n`);
const banner = `/*! Built by scripts/bundle of web/map. Bundled are:\n\n${heads.join("\n\n")}*/\n`;

const script = `${banner}"use strict";${outputFiles[0].text}`;
// It stands in a script element, which these would end or change.
if (/<\/?script|<!--/i.test(script)) throw new Error("The bundle holds a tag of a script.");
writeFileSync(target, script);
