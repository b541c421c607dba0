// What the page carries: one JSON object, numbers in it as base64 of little-endian arrays.

const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const numbers = (Type, text) => new Type(bytes(text).buffer);

// Characters that Python's str.isprintable denies, as backslash escapes: see cli/console/text.py.
const UNPRINTABLE = /(?! )[\p{C}\p{Z}]/gu;
const NAMED = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };
const escaped = (c) => {
  const hex = c.codePointAt(0).toString(16);
  if (hex.length <= 2) return NAMED[c] ?? `\\x${hex.padStart(2, "0")}`;
  return hex.length <= 4 ? `\\u${hex.padStart(4, "0")}` : `\\U${hex.padStart(8, "0")}`;
};
export const printable = (text) => text.replace(UNPRINTABLE, escaped);

export function readData(element) {
  const raw = JSON.parse(element.textContent);
  const count = raw.names.length;
  const folder = numbers(Uint32Array, raw.folder);
  const data = {
    count,
    points: numbers(Float32Array, raw.points),
    isImage: numbers(Uint8Array, raw.image),
    cluster: numbers(Int32Array, raw.cluster),
    clusters: raw.clusters,
    colours: raw.colours,
    sprites: raw.sprites && {
      ...raw.sprites,
      of: numbers(Uint32Array, raw.sprites.of),
      sizes: numbers(Uint16Array, raw.sprites.sizes),
    },
    name: (at) => printable(raw.names[at]),
    folderName: (at) => printable(raw.folders[folder[at]].path),
    passage: (at) => raw.passages[at] ?? "",
    path: (at) => raw.folders[folder[at]].path + raw.names[at],
    clusterName: (at) => raw.clusters[data.cluster[at]]?.name ?? "",
    // Where the file is; null if it is of another system, or has no name in Unicode.
    address: (at) => {
      const { uri } = raw.folders[folder[at]];
      try {
        return uri && uri + encodeURIComponent(raw.names[at]);
      } catch {
        return null;
      }
    },
  };
  let texts = null;
  // Positions of the files in whose name, folder, group or passage every word is.
  data.search = (query) => {
    texts ??= raw.names.map((name, at) =>
      `${name}\n${raw.folders[folder[at]].path}\n${data.passage(at)}\n${data.clusterName(at)}`
        .toLocaleLowerCase(),
    );
    const words = query.toLocaleLowerCase().split(/\s+/).filter(Boolean);
    const found = [];
    for (let at = 0; at < count; at++) {
      if (words.every((word) => texts[at].includes(word))) found.push(at);
    }
    return found;
  };
  return data;
}
