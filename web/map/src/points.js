// All points, a vertex each. deck.gl's own layer draws two triangles a point and projects places on
// the globe, which takes ten times as long where there is no graphics card.
//
// They are in no order, so that the first of them are a sample of all.

import { Layer } from "@deck.gl/core";
import { Model } from "@luma.gl/engine";

const block = `\
layout(std140) uniform dotsUniforms {
  vec2 middle;
  vec2 scale;
  float size;
} dots;
`;
const dots = {
  name: "dots",
  vs: block,
  fs: block,
  uniformTypes: { middle: "vec2<f32>", scale: "vec2<f32>", size: "f32" },
};

const vs = `#version 300 es
#define SHADER_NAME dots-vertex
in vec2 positions;
in vec4 colors;
out vec4 colour;
void main() {
  colour = colors;
  vec2 place = (positions - dots.middle) * dots.scale;
  // What is not seen is put outside.
  gl_Position = colors.a > 0.0 ? vec4(place, 0.0, 1.0) : vec4(2.0, 2.0, 2.0, 1.0);
  gl_PointSize = dots.size;
}
`;
const fs = `#version 300 es
#define SHADER_NAME dots-fragment
precision highp float;
in vec4 colour;
out vec4 fragColor;
void main() {
  float away = length(gl_PointCoord - 0.5) * dots.size;
  float edge = dots.size / 2.0;
  float part = dots.size < 3.0 ? 1.0 : clamp(edge - away, 0.0, 1.0);
  if (part == 0.0) discard;
  fragColor = vec4(colour.rgb, colour.a * part);
}
`;

// The same places for the same number (Fisher and Yates; the numbers are Marsaglia's xorshift32).
function shuffled(count) {
  const order = Uint32Array.from({ length: count }, (_, at) => at);
  let number = 2463534242;
  for (let at = count - 1; at > 0; at--) {
    number ^= number << 13;
    number ^= number >>> 17;
    number ^= number << 5;
    const other = (number >>> 0) % (at + 1);
    [order[at], order[other]] = [order[other], order[at]];
  }
  return order;
}

// What belongs to each place, of so many numbers, in this order.
function ordered(values, order, size) {
  const found = new values.constructor(values.length);
  for (let n = 0; n < order.length; n++) {
    for (let part = 0; part < size; part++) found[size * n + part] = values[size * order[n] + part];
  }
  return found;
}

export class PointsLayer extends Layer {
  static layerName = "PointsLayer";
  static defaultProps = { radius: 1, middle: [0, 0], positions: null, colours: null, count: 0 };

  getShaders() {
    return super.getShaders({ vs, fs, modules: [dots] });
  }

  initializeState() {
    const { device } = this.context;
    const { positions, colours } = this.props;
    const order = shuffled(positions.length / 2);
    const buffers = {
      positions: device.createBuffer({ data: ordered(positions, order, 2) }),
      colors: device.createBuffer({ data: ordered(colours, order, 4) }),
    };
    const model = new Model(device, {
      ...this.getShaders(),
      id: this.props.id,
      topology: "point-list",
      bufferLayout: [
        { name: "positions", format: "float32x2" },
        { name: "colors", format: "unorm8x4" },
      ],
      attributes: buffers,
      isInstanced: false,
    });
    this.setState({ model, buffers, order });
  }

  updateState({ props, oldProps }) {
    if (oldProps.colours && props.colours !== oldProps.colours) {
      this.state.buffers.colors.write(ordered(props.colours, this.state.order, 4));
    }
  }

  finalizeState(context) {
    super.finalizeState(context);
    for (const buffer of Object.values(this.state.buffers)) buffer.destroy();
  }

  draw() {
    const { width, height, zoom } = this.context.viewport;
    const ratio = this.context.device.canvasContext.cssToDeviceRatio();
    const scale = 2 * 2 ** zoom;
    this.state.model.shaderInputs.setProps({
      dots: {
        middle: this.props.middle,
        scale: [scale / width, scale / height],
        size: 2 * this.props.radius * ratio,
      },
    });
    this.state.model.setVertexCount(this.props.count);
    this.state.model.draw(this.context.renderPass);
  }
}
