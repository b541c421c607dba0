// Where one looks: the middle in the map's units, and the zoom, of which each step doubles.

export class View {
  constructor(points, size) {
    this.size = size;
    let [left, right, low, high] = [Infinity, -Infinity, Infinity, -Infinity];
    for (let at = 0; at < points.length; at += 2) {
      left = Math.min(left, points[at]);
      right = Math.max(right, points[at]);
      low = Math.min(low, points[at + 1]);
      high = Math.max(high, points[at + 1]);
    }
    this.bounds = points.length ? [left, low, right, high] : [-1, -1, 1, 1];
    this.fit();
  }

  // Shows the part of the map between two corners, with room at the edges.
  show([left, low, right, high], nearest = 4) {
    const [width, height] = this.size;
    const edge = Math.min(72, 0.12 * Math.min(width, height));
    const top = Math.min(60, 0.1 * height); // what lies under the bar
    const scale = Math.min(
      (width - 2 * edge) / Math.max(right - left, 1e-9),
      (height - 2 * edge - top) / Math.max(high - low, 1e-9),
    );
    const zoom = Math.log2(Math.max(scale, 1));
    this.zoom = Math.min(zoom, (this.home ?? Math.log2(Math.min(width, height) / 2)) + nearest);
    this.x = (left + right) / 2;
    this.y = (low + high) / 2 + top / 2 / 2 ** this.zoom;
  }

  fit() {
    this.home = undefined;
    this.show(this.bounds, 0);
    this.home = this.zoom;
    this.least = this.home - 0.5;
    this.most = this.home + 12;
  }

  get state() {
    return { target: [this.x, this.y, 0], zoom: this.zoom, minZoom: this.least, maxZoom: this.most };
  }

  // Keeps the map on the screen.
  move(x, y, zoom = this.zoom) {
    const [left, low, right, high] = this.bounds;
    this.zoom = Math.min(Math.max(zoom, this.least), this.most);
    this.x = Math.min(Math.max(x, left), right);
    this.y = Math.min(Math.max(y, low), high);
  }

  zoomBy(steps) {
    this.move(this.x, this.y, this.zoom + steps);
  }

  panBy(right, down) {
    this.move(this.x + right / this.scale, this.y - down / this.scale);
  }

  get scale() {
    return 2 ** this.zoom;
  }

  toScreen(x, y) {
    const [width, height] = this.size;
    return [width / 2 + (x - this.x) * this.scale, height / 2 - (y - this.y) * this.scale];
  }

  toMap(right, down) {
    const [width, height] = this.size;
    return [this.x + (right - width / 2) / this.scale, this.y - (down - height / 2) / this.scale];
  }
}
