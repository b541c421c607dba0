// How many points are drawn while the map moves: fewer where a frame takes long, as it does where
// there is no graphics card. Once the map is still, all are.

const SLOW = 40; // ms that a frame may take
const STILL = 200; // ms without a movement after which the map is still
const LEAST = 5000; // points
const FIRST = 20000; // until it is known how fast frames are

export class Pace {
  constructor(count, onStill) {
    this.count = count;
    this.onStill = onStill;
    this.most = Math.min(FIRST, count); // that a moving map has, by what its frames took so far
    this.isMoving = false;
  }

  // Points to draw now.
  get points() {
    return this.isMoving ? this.most : this.count;
  }

  moved() {
    this.isMoving = true;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.isMoving = false;
      this.onStill();
    }, STILL);
  }

  // A frame was handed over; the next one is begun when the card is done with it.
  drew() {
    if (!this.isMoving || this.isTiming) return;
    this.isTiming = true;
    const began = performance.now();
    requestAnimationFrame(() => {
      this.isTiming = false;
      this.took(performance.now() - began);
    });
  }

  took(milliseconds) {
    let part = 1;
    if (milliseconds > SLOW) part = Math.max(SLOW / milliseconds, 0.5);
    else if (milliseconds < SLOW / 2) part = 1.25;
    this.most = Math.round(Math.min(Math.max(part * this.most, LEAST), this.count));
  }
}
