// Colours of kinds and groups, as the page carries them for light and dark.

export function palette(data, isDark) {
  const { image, text, none, groups, mark } = data.colours[isDark ? "dark" : "light"];
  return {
    mark,
    kind: (isImage) => (isImage ? image : text),
    cluster: (number) => groups[number] ?? none,
  };
}

export const css = (colour) => `rgb(${colour.join(" ")})`;
