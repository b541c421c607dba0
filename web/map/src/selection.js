// Files that were chosen: their paths to be copied or saved, one a line.

export class Selection {
  constructor(panel, data, onChange) {
    Object.assign(this, { panel, data, onChange, places: new Set() });
    const by = (name) => panel.querySelector(`[data-do=${name}]`);
    this.list = panel.querySelector("textarea");
    this.title = panel.querySelector("output");
    this.copied = by("copy");
    by("copy").addEventListener("click", () => this.copy());
    by("save").addEventListener("click", () => this.save());
    by("clear").addEventListener("click", () => this.set([]));
  }

  set(places) {
    this.places = new Set(places);
    this.show();
  }

  add(places) {
    for (const at of places) this.places.add(at);
    this.show();
  }

  toggle(at) {
    if (!this.places.delete(at)) this.places.add(at);
    this.show();
  }

  get paths() {
    return [...this.places].sort((one, other) => one - other).map((at) => this.data.path(at));
  }

  show() {
    const count = this.places.size;
    this.panel.hidden = !count;
    this.title.value = count === 1 ? "1 file selected" : `${count.toLocaleString("en")} files selected`;
    this.list.value = this.paths.slice(0, 5000).join("\n");
    this.copied.textContent = "Copy paths";
    this.onChange();
  }

  async copy() {
    const text = this.paths.join("\n");
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Not every browser lets a page of the disk do so.
      this.list.value = text;
      this.list.select();
      document.execCommand("copy");
    }
    this.copied.textContent = "Copied";
  }

  // A name may hold the end of a line: then each path is ended by NUL, as xargs -0 reads them.
  save() {
    const { paths } = this;
    const isPlain = paths.every((path) => !/[\n\r]/.test(path));
    const text = paths.map((path) => path + (isPlain ? "\n" : "\0"));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(text, { type: "text/plain" }));
    link.download = isPlain ? "paths.txt" : "paths.nul";
    link.click();
    URL.revokeObjectURL(link.href);
  }
}

// Positions of the points within a closed line; corners and points in the map's units.
export function within(line, points, index) {
  const [xs, ys] = [line.map(([x]) => x), line.map(([, y]) => y)];
  const box = [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
  return index.range(...box).filter((at) => {
    const [x, y] = [points[2 * at], points[2 * at + 1]];
    let isIn = false;
    // A ray to the right crosses the line an odd number of times.
    for (let n = 0, last = line.length - 1; n < line.length; last = n++) {
      const crosses = ys[n] > y !== ys[last] > y;
      if (crosses && x < ((xs[last] - xs[n]) * (y - ys[n])) / (ys[last] - ys[n]) + xs[n]) isIn = !isIn;
    }
    return isIn;
  });
}
