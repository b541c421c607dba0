// Which thumbnails are shown from which zoom on, so that none covers another.

// Sprites in the order in which zooming in brings them up, and how many there are at each level.
//
// Level n is for a scale of `scale` times 2^n. Those that come first in `order` come up first; one
// that is shown stays when one zooms in.
export function levels(points, order, room, scale, count) {
  const shown = [];
  const upTo = [];
  let waiting = order;
  for (let level = 0; level < count; level++) {
    const apart = room / (scale * 2 ** level);
    const cells = new Map();
    const key = (column, row) => column * 0x4000000 + row;
    const place = (at) => {
      const [x, y] = [points[2 * at], points[2 * at + 1]];
      const [column, row] = [Math.floor(x / apart), Math.floor(y / apart)];
      const own = key(column, row);
      if (cells.has(own)) cells.get(own).push(at);
      else cells.set(own, [at]);
    };
    const isFree = (at) => {
      const [x, y] = [points[2 * at], points[2 * at + 1]];
      const [column, row] = [Math.floor(x / apart), Math.floor(y / apart)];
      for (let dx = -1; dx <= 1; dx++) {
        for (let dy = -1; dy <= 1; dy++) {
          for (const other of cells.get(key(column + dx, row + dy)) ?? []) {
            const across = Math.abs(points[2 * other] - x);
            const down = Math.abs(points[2 * other + 1] - y);
            if (Math.max(across, down) < apart) return false;
          }
        }
      }
      return true;
    };
    shown.forEach(place);
    const still = [];
    for (const at of waiting) {
      // What never finds room comes up at the last level: one over the other.
      if (level === count - 1 || isFree(at)) {
        place(at);
        shown.push(at);
      } else {
        still.push(at);
      }
    }
    waiting = still;
    upTo.push(shown.length);
  }
  return { shown, upTo };
}
