// The card that says what a point is: its picture or passage, name, folder, group.

import { css } from "./colours.js";

const element = (name, className, text) => {
  const made = document.createElement(name);
  made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
};

export class Card {
  constructor(box, data, sheet, spriteOf) {
    Object.assign(this, { box, data, sheet, spriteOf, at: -1 });
  }

  // Shows a file, beside a place of the screen and so many pixels away from it.
  show(at, [right, down], size, colour, away) {
    if (at !== this.at) {
      this.at = at;
      this.box.replaceChildren(...this.parts(at, colour));
      this.box.hidden = false;
    }
    const { offsetWidth: width, offsetHeight: height } = this.box;
    const gap = 18 + away;
    const x = right + gap + width < size[0] ? right + gap : right - gap - width;
    const y = Math.min(Math.max(down - height / 2, 8), size[1] - height - 8);
    this.box.style.transform = `translate(${Math.max(x, 8)}px, ${Math.max(y, 8)}px)`;
  }

  hide() {
    this.at = -1;
    this.box.hidden = true;
  }

  parts(at, colour) {
    const { data } = this;
    const about = element("span", "about");
    about.append(element("bdi", "name", data.name(at)), element("bdi", "folder", data.folderName(at)));
    const group = data.clusterName(at);
    if (group) {
      const fact = element("span", "group");
      const dot = element("i", "dot");
      dot.style.background = css(colour);
      fact.append(dot, element("bdi", "", group));
      about.append(fact);
    }
    return [this.picture(at) ?? this.words(at), about].filter(Boolean);
  }

  picture(at) {
    const n = this.spriteOf?.get(at);
    if (n === undefined || !this.sheet) return null;
    const { side, columns, sizes } = this.data.sprites;
    const canvas = element("canvas", "picture");
    [canvas.width, canvas.height] = [sizes[2 * n], sizes[2 * n + 1]];
    // At most twice as large, and of one width, as far as it has the pixels.
    const scale = Math.min(2, 240 / Math.max(canvas.width, canvas.height));
    canvas.style.width = `${canvas.width * scale}px`;
    const [x, y] = [(n % columns) * side, Math.floor(n / columns) * side];
    const { width, height } = canvas;
    canvas.getContext("2d").drawImage(this.sheet, x, y, width, height, 0, 0, width, height);
    return canvas;
  }

  words(at) {
    if (this.data.isImage[at]) return null;
    const words = element("span", "passage", this.data.passage(at));
    words.dir = "auto";
    return words;
  }
}
