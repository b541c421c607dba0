// The names of groups over the map: the largest first, those that would cover another left out.

import { css } from "./colours.js";

export class Labels {
  constructor(box, clusters, onChoose) {
    this.labels = clusters.map((cluster, number) => {
      const label = document.createElement("button");
      label.type = "button";
      label.tabIndex = -1; // the list of groups is for the keyboard
      label.className = "label";
      label.append(document.createElement("bdi"));
      label.firstChild.textContent = cluster.name;
      label.addEventListener("click", () => onChoose(number));
      box.append(label);
      return { label, place: cluster.place };
    });
    this.measure();
  }

  measure() {
    for (const one of this.labels) {
      one.label.hidden = false;
      [one.width, one.height] = [one.label.offsetWidth, one.label.offsetHeight];
    }
  }

  colour(of) {
    this.labels.forEach(({ label }, number) => {
      label.style.setProperty("--own", css(of(number)));
    });
  }

  draw(view, isOn) {
    const taken = [];
    for (const { label, place, width, height } of this.labels) {
      const [x, y] = view.toScreen(...place);
      const box = [x - width / 2, y - height / 2, x + width / 2, y + height / 2];
      const isIn = box[0] > 4 && box[1] > 4 && box[2] < view.size[0] - 4 && box[3] < view.size[1] - 4;
      const isFree = taken.every(
        (other) => box[0] > other[2] || box[2] < other[0] || box[1] > other[3] || box[3] < other[1],
      );
      label.hidden = !(isOn && isIn && isFree);
      if (label.hidden) continue;
      taken.push(box);
      label.style.transform = `translate(${Math.round(box[0])}px, ${Math.round(box[1])}px)`;
    }
  }
}
