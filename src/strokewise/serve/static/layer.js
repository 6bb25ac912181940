// A layer of paint over a picture, with a mask: pixels and brushes, no page.

const sheet = (width, height) => Object.assign(document.createElement("canvas"), { width, height });
const pen = (canvas) => canvas.getContext("2d", { willReadFrequently: true });

export class Layer {
  /** An empty layer and mask over `base`, an image or canvas. */
  constructor(base, width, height) {
    Object.assign(this, { base, width, height });
    this.paint = sheet(width, height);
    this.mask = sheet(width, height);
    this.stroke = sheet(width, height);
    this.start = null;
    this.masked = false;
  }

  /** All that can be undone, as values. */
  snapshot() {
    const all = [0, 0, this.width, this.height];
    return { paint: pen(this.paint).getImageData(...all), mask: pen(this.mask).getImageData(...all), masked: this.masked };
  }

  restore({ paint, mask, masked }) {
    pen(this.paint).putImageData(paint, 0, 0);
    pen(this.mask).putImageData(mask, 0, 0);
    this.masked = masked;
  }

  /** Begin a stroke; what is drawn until its end is one mark of even thickness. */
  begin() {
    pen(this.stroke).clearRect(0, 0, this.width, this.height);
    this.start = this.snapshot();
  }

  /** Continue a stroke from one point to another, in pixels. */
  line(tool, from, to, size, color) {
    const ink = pen(this.stroke);
    Object.assign(ink, { lineCap: "round", lineJoin: "round", lineWidth: size, strokeStyle: tool === "brush" ? color : "#fff" });
    ink.beginPath();
    ink.moveTo(...from);
    ink.lineTo(to[0] + 0.001, to[1]);
    ink.stroke();
    this.restore(this.start);
    if (tool === "mask") {
      pen(this.mask).drawImage(this.stroke, 0, 0);
      this.masked = true;
    } else {
      this.lay(this.stroke, tool === "eraser" ? "destination-out" : "source-over");
    }
  }

  /** Put a picture of the layer's size onto it, inside the mask if there is one. */
  lay(picture, how = "source-over") {
    const kept = sheet(this.width, this.height);
    const ink = pen(kept);
    ink.drawImage(picture, 0, 0, this.width, this.height);
    if (this.masked) {
      ink.globalCompositeOperation = "destination-in";
      ink.drawImage(this.mask, 0, 0);
    }
    const target = pen(this.paint);
    target.globalCompositeOperation = how;
    target.drawImage(kept, 0, 0);
    target.globalCompositeOperation = "source-over";
  }

  clearMask() {
    pen(this.mask).clearRect(0, 0, this.width, this.height);
    this.masked = false;
  }

  invertMask() {
    const ink = pen(this.mask);
    ink.globalCompositeOperation = "source-out";
    ink.fillStyle = "#fff";
    ink.fillRect(0, 0, this.width, this.height);
    ink.globalCompositeOperation = "source-over";
    this.masked = true;
  }

  /** Draw picture, paint, and the mask as a veil over what it keeps out. */
  show(canvas, veil = true) {
    const ink = pen(canvas);
    ink.clearRect(0, 0, this.width, this.height);
    ink.drawImage(this.base, 0, 0, this.width, this.height);
    ink.drawImage(this.paint, 0, 0);
    if (!veil || !this.masked) return;
    const cover = sheet(this.width, this.height);
    const over = pen(cover);
    over.fillStyle = "rgba(40,30,60,.55)";
    over.fillRect(0, 0, this.width, this.height);
    over.globalCompositeOperation = "destination-out";
    over.drawImage(this.mask, 0, 0);
    ink.drawImage(cover, 0, 0);
  }

  /** The picture with the paint on it. */
  toDataURL() {
    const whole = sheet(this.width, this.height);
    this.show(whole, false);
    return whole.toDataURL("image/png");
  }

  /** The color at a pixel as #rrggbb. */
  colorAt([x, y]) {
    const whole = sheet(this.width, this.height);
    this.show(whole, false);
    const [r, g, b] = pen(whole).getImageData(Math.floor(x), Math.floor(y), 1, 1).data;
    return `#${[r, g, b].map((value) => value.toString(16).padStart(2, "0")).join("")}`;
  }
}
