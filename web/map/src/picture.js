// The points and thumbnails, drawn by deck.gl. See https://deck.gl/docs/developer-guide/performance
// for why their numbers go to it as arrays.

import { Deck, OrthographicView, log } from "@deck.gl/core";
import { IconLayer, ScatterplotLayer } from "@deck.gl/layers";

import { levels } from "./levels.js";
import { Pace } from "./pace.js";
import { PointsLayer } from "./points.js";

log.level = -1; // it greets in the console

const LEVELS = 13;
const FRAME = 2; // pixels around a thumbnail, in the colour of its group or kind
const FADED = 40; // of 255: what is not searched for
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

export class Picture {
  constructor(parent, data, sheet, view, { onView, onFail }) {
    this.data = data;
    this.view = view;
    this.sheet = sheet;
    this.colours = new Uint8Array(4 * data.count);
    this.isShown = new Uint8Array(data.count).fill(1);
    this.isPlain = new Uint8Array(data.count).fill(1); // without a thumbnail now
    this.marks = [];
    this.drawn = 0;
    this.pace = new Pace(data.count, () => this.draw());
    this.canDrag = true;
    this.rearrange();
    this.deck = new Deck({
      parent,
      views: new OrthographicView({ flipY: false, controller: true }),
      controller: true,
      viewState: view.state,
      onViewStateChange: ({ viewState }) => {
        view.move(viewState.target[0], viewState.target[1], viewState.zoom);
        onView();
      },
      onAfterRender: () => {
        this.drawn++;
        this.pace.drew();
      },
      onError: (error) => onFail(error),
      getCursor: ({ isDragging }) =>
        !this.canDrag ? "crosshair" : isDragging ? "grabbing" : this.pointing ? "pointer" : "grab",
      layers: [],
    });
  }

  // Which thumbnails are shown at which zoom, of those files that are shown.
  rearrange() {
    const { data, view } = this;
    if (!data.sprites) return;
    const [width, height] = view.size;
    const room = clamp(Math.sqrt((width * height) / data.sprites.of.length) / 3, 46, 96);
    this.room = Math.min(room, width / 5);
    this.scale = (0.9 * this.room) / data.sprites.side; // of pixels in the sheet, on the screen
    this.spriteOf ??= new Map(Array.from(data.sprites.of, (at, n) => [at, n]));
    this.mapping ??= mappingOf(data.sprites);
    this.frames = framesOf(data.sprites, (2 * FRAME) / this.scale);
    this.blank ??= blank(data.sprites.side);
    const order = [...data.sprites.of].filter((at) => this.isShown[at]);
    // Points are seen between them, where there are many.
    const apart = order.length > 200 ? 1.8 * this.room : this.room;
    this.levels = levels(data.points, order, apart, 2 ** view.home, LEVELS);
    this.level = undefined;
  }

  // Thumbnails that are shown at this zoom, on the screen or not far from it.
  get thumbnails() {
    if (!this.levels) return [];
    const { view, data } = this;
    const level = clamp(Math.floor(view.zoom - view.home), 0, LEVELS - 1);
    const isNew = level !== this.level;
    if (isNew) {
      this.level = level;
      this.ofLevel = this.levels.shown.slice(0, this.levels.upTo[level]);
      this.isPlain.fill(1);
      for (const at of this.ofLevel) this.isPlain[at] = 0;
      this.recolour();
    }
    const around = (screens) => view.size.map((side) => (screens * side) / view.scale / 2);
    const [across, down] = around(1);
    const { x, y, width, height } = this.window ?? {};
    const isWithin = Math.abs(view.x - x) + across <= width && Math.abs(view.y - y) + down <= height;
    if (isNew || !isWithin) {
      const [wide, high] = around(2.5);
      this.window = { x: view.x, y: view.y, width: wide, height: high };
      this.now = this.ofLevel.filter(
        (at) =>
          Math.abs(data.points[2 * at] - view.x) < wide && Math.abs(data.points[2 * at + 1] - view.y) < high,
      );
    }
    return this.now;
  }

  // The colour of each point; transparent where a thumbnail stands.
  colour(of) {
    this.colourOf = of;
    this.recolour();
  }

  recolour() {
    const { colours, isPlain, isShown, colourOf } = this;
    if (!colourOf) return;
    for (let at = 0; at < isShown.length; at++) {
      const [red, green, blue] = colourOf(at);
      const alpha = !isPlain[at] ? 0 : isShown[at] ? 225 : FADED;
      colours.set([red, green, blue, alpha], 4 * at);
    }
    this.colours = new Uint8Array(colours); // a new array is one that changed
  }

  // Fades all but some files; null shows all.
  only(found) {
    this.isShown.fill(found ? 0 : 1);
    for (const at of found ?? []) this.isShown[at] = 1;
    this.rearrange();
    this.recolour();
  }

  get radius() {
    const { view, data } = this;
    const apart = (2 * 2 ** view.home) / Math.sqrt(data.count);
    return clamp(0.24 * apart * 2 ** (0.45 * (view.zoom - view.home)), 1.5, 7);
  }

  draw() {
    const { data, view, sheet } = this;
    const thumbnails = this.thumbnails; // may change colours
    const seen = [view.x, view.y, view.zoom];
    if (this.seen && seen.some((value, n) => value !== this.seen[n])) this.pace.moved();
    this.seen = seen;
    const subset = (places) => ({
      length: places.length,
      attributes: {
        getPosition: { value: Float32Array.from(places.flatMap((at) => [...data.points.subarray(2 * at, 2 * at + 2)])), size: 2 },
      },
    });
    const layers = [
      new PointsLayer({
        id: "points",
        positions: data.points,
        colours: this.colours,
        middle: [view.x, view.y],
        radius: this.radius,
        count: this.pace.points,
      }),
    ];
    if (data.sprites && sheet) {
      layers.push(
        new IconLayer({
          id: "frames",
          data: thumbnails,
          iconAtlas: this.blank,
          iconMapping: this.frames,
          getIcon: (at) => this.spriteOf.get(at),
          getPosition: (at) => [data.points[2 * at], data.points[2 * at + 1]],
          getColor: (at) => [...this.colourOf(at), 255],
          sizeUnits: "pixels",
          sizeBasis: "height",
          getSize: (at) => this.drawnSize(at)[1] + 2 * FRAME,
          updateTriggers: { getSize: this.room, getColor: this.colours, getIcon: this.room },
        }),
        new IconLayer({
          id: "thumbnails",
          data: thumbnails,
          iconAtlas: sheet,
          iconMapping: this.mapping,
          getIcon: (at) => this.spriteOf.get(at),
          getPosition: (at) => [data.points[2 * at], data.points[2 * at + 1]],
          sizeUnits: "pixels",
          sizeBasis: "height",
          getSize: (at) => this.drawnSize(at)[1],
          alphaCutoff: 0,
          textureParameters: { minFilter: "linear", magFilter: "linear", mipmapFilter: "linear" },
          updateTriggers: { getSize: this.room },
        }),
      );
    }
    for (const [number, { places, colour, width }] of this.marks.entries()) {
      layers.push(
        new ScatterplotLayer({
          id: `mark ${number}`,
          data: subset(places),
          radiusUnits: "pixels",
          getRadius: 1,
          radiusScale: this.radius + 2 + width / 2,
          filled: false,
          stroked: true,
          lineWidthUnits: "pixels",
          getLineWidth: width,
          getLineColor: colour,
        }),
      );
    }
    this.deck.setProps({
      viewState: view.state,
      layers,
      controller: this.canDrag ? { doubleClickZoom: true, keyboard: false } : false,
    });
  }

  // Across and down, in pixels of the screen.
  drawnSize(at) {
    const n = this.spriteOf.get(at);
    const { sizes } = this.data.sprites;
    return [sizes[2 * n] * this.scale, sizes[2 * n + 1] * this.scale];
  }

  // The thumbnail at a place of the screen, or -1.
  thumbnailAt(right, down) {
    let best = -1;
    for (const at of this.thumbnails) {
      const [x, y] = this.view.toScreen(this.data.points[2 * at], this.data.points[2 * at + 1]);
      const [width, height] = this.drawnSize(at);
      if (Math.abs(x - right) < width / 2 && Math.abs(y - down) < height / 2) best = at;
    }
    return best;
  }
}

// Where each thumbnail is in the sheet.
function mappingOf({ of, side, columns, sizes }) {
  const cell = (_, n) => ({
    x: (n % columns) * side,
    y: Math.floor(n / columns) * side,
    width: sizes[2 * n],
    height: sizes[2 * n + 1],
  });
  return Object.fromEntries(Array.from(of, (at, n) => [n, cell(at, n)]));
}

// The same, larger by so many pixels of the sheet: where a frame is in a blank picture.
function framesOf({ of, sizes }, more) {
  const cell = (n) => ({ x: 0, y: 0, width: sizes[2 * n] + more, height: sizes[2 * n + 1] + more, mask: true });
  return Object.fromEntries(Array.from(of, (at, n) => [n, cell(n)]));
}

function blank(side) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 2 * side;
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  return canvas;
}
